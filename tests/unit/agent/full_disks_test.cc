#include "rank_agent/full_disks.h"

#include <gtest/gtest.h>

namespace muster::agent {
namespace {

struct statvfs disk() {
  struct statvfs state {};
  state.f_frsize = 4096;
  state.f_blocks = 16384;
  state.f_bfree = state.f_bavail = 8192;
  state.f_files = 1000;
  state.f_favail = 500;
  return state;
}

TEST(LackOfRoomTest, IsAboutBlocksOrInodes) {
  struct statvfs state = disk();
  EXPECT_EQ(lack_of_room(state), std::nullopt);
  state.f_bavail = 15;  // what is left is for root
  EXPECT_EQ(lack_of_room(state), "has no room left (64.0 MiB, all used)");
  state = disk();
  state.f_favail = 0;
  EXPECT_EQ(lack_of_room(state), "has no inodes left (1000, all used)");
}

TEST(LackOfRoomTest, ZeroOfEverythingIsNoDisk) {
  EXPECT_EQ(lack_of_room({}), std::nullopt);
  struct statvfs state = disk();
  state.f_files = state.f_favail = 0;  // btrfs
  EXPECT_EQ(lack_of_room(state), std::nullopt);
}

TEST(FindFullDisksTest, LeavesOutWhatIsNotThere) {
  for (const auto& finding : find_full_disks({"", "/not/there", "/dev/null"}, false)) {
    EXPECT_EQ(finding.kind(), "shm_full") << "of a full machine";
  }
}

}  // namespace
}  // namespace muster::agent
