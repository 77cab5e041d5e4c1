#include "base/mounts.h"

#include <sched.h>
#include <sys/mount.h>

#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTable =
    "27 1 254:1 / / rw,noatime shared:1 - ext4 /dev/vda1 rw,discard\n"
    "31 27 0:40 / /data/one\\040two ro,nosuid - fuse.rclone remote:a\\134b rw,user_id=0\n"
    "32 27 0:41 / /data/x rw,relatime shared:9 master:1 - nfs4 server:/export ro,hard\n"
    "not a line\n"
    "33 27 254:1 /srv /data/x rw - ext4 /dev/vda1 rw\n";

TEST(MountTable, ReadsEachLineAndItsEscapes) {
  const auto table = parse_mount_table(kTable);
  ASSERT_EQ(table.size(), 4U);
  EXPECT_EQ(table[1].point, "/data/one two");
  EXPECT_EQ(table[1].source, "remote:a\\b");
  EXPECT_EQ(table[1].type, "fuse.rclone");
  EXPECT_TRUE(table[1].read_only);
  EXPECT_FALSE(table[1].shared);
  EXPECT_TRUE(table[2].read_only) << "the file system itself is";
  EXPECT_TRUE(table[2].shared);
  EXPECT_FALSE(table[3].read_only);
  EXPECT_EQ(table[3].root, "/srv");
}

TEST(MountTable, FindsWhatIsSeenAtAPointAndWhatLiesBelow) {
  const auto table = parse_mount_table(kTable);
  const auto seen = mount_at(table, "/data/x");
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->id, 33) << "the last one covers the others";
  EXPECT_FALSE(mount_at(table, "/data"));
  EXPECT_EQ(mounts_below(table, "/data").size(), 3U);
  EXPECT_EQ(mounts_below(table, "/data/x").size(), 2U);
  EXPECT_TRUE(mounts_below(table, "/data/one").empty()) << "a name that only begins like it";
}

TEST(MountTable, HoldsAgainstAnyBytes) {
  EXPECT_TRUE(parse_mount_table("").empty());
  EXPECT_TRUE(parse_mount_table("- - -\n\\\n1 2 3:4:5 / / rw - a b\n1 2 3 / / rw - a b\n").empty());
  EXPECT_EQ(parse_mount_table("1 2 0:1 / /a\\04 rw - a b").at(0).point, "/a\\04");
}

TEST(MountTable, OfThisProcessHasARoot) {
  EXPECT_TRUE(mount_at(mount_table(), "/"));
}

// In a forked process: a mount namespace of its own, so that nothing stays mounted whatever happens.
std::string in_own_mounts(const fs::path& top, const std::function<std::string()>& body) {
  fs::create_directories(top / "tree/deep/mount");
  fs::create_directories(top / "data");
  std::ofstream(top / "data/precious") << "x";
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount((top / "data").c_str(), (top / "tree/deep/mount").c_str(), nullptr, MS_BIND,
              nullptr) != 0) {
    return test::kSkip + "no mount namespace allowed";
  }
  return body();
}

class MountsTest : public test::ScratchTest {};

TEST_F(MountsTest, ATreeWithAMountInItIsNotRemoved) {
  MUSTER_EXPECT_IN_FORK([&] {
    return in_own_mounts(scratch(), [&]() -> std::string {
      const auto removed = remove_tree(scratch() / "tree");
      if (removed) return "it was removed";
      if (!fs::exists(scratch() / "data/precious")) return "the data are gone";
      const std::string expected = "is still mounted (";
      return removed.error().message.find(expected) == std::string::npos ? removed.error().message
                                                                         : "";
    });
  });
  EXPECT_TRUE(fs::exists(scratch() / "data/precious"));
}

TEST_F(MountsTest, WhatWasDetachedIsRemovedAndTheDataStay) {
  MUSTER_EXPECT_IN_FORK([&] {
    return in_own_mounts(scratch(), [&]() -> std::string {
      fs::create_directory(scratch() / "data/sub");
      const fs::path point = scratch() / "tree/deep/mount";
      // One more on top of the first, and one below it.
      if (::mount("tmpfs", point.c_str(), "tmpfs", 0, nullptr) != 0) return "no tmpfs";
      fs::create_directory(point / "sub");
      if (::mount("tmpfs", (point / "sub").c_str(), "tmpfs", 0, nullptr) != 0) return "no tmpfs";
      if (!detach_mounts_below(scratch() / "tree").empty()) return "something is still mounted";
      if (const auto removed = remove_tree(scratch() / "tree"); !removed) {
        return removed.error().message;
      }
      return fs::exists(scratch() / "tree") ? "it is still there" : "";
    });
  });
  EXPECT_TRUE(fs::exists(scratch() / "data/precious"));
}

}  // namespace
}  // namespace muster
