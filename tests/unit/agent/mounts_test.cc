#include "rank_agent/mounts.h"

#include <gtest/gtest.h>

namespace muster::agent {
namespace {

protocol::RankSpec wants(const std::string& path, bool read_only) {
  protocol::RankSpec spec;
  protocol::SeenMount& mount = *spec.add_mounts();
  mount.set_name("input digits");
  mount.set_path(path);
  mount.set_read_only(read_only);
  return spec;
}

TEST(FindMissingMount, LooksForEachInTheTable) {
  const auto table = parse_mount_table(
      "1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /d/digits ro - fuse.rclone r: rw\n"
      "3 1 0:3 / /d/model rw - fuse.rclone r: rw\n");
  EXPECT_EQ(find_missing_mount({}, table), "");
  EXPECT_EQ(find_missing_mount(wants("/d/digits", true), table), "");
  EXPECT_EQ(find_missing_mount(wants("/d/model", false), table), "");
  EXPECT_EQ(find_missing_mount(wants("/d/model", true), table),
            "input digits at /d/model can be written to where it runs");
  EXPECT_EQ(find_missing_mount(wants("/d/digits", true), {}),
            "input digits is not mounted at /d/digits where it runs");
}

}  // namespace
}  // namespace muster::agent
