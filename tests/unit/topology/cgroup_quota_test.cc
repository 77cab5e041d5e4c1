#include "launcher/topology/cgroup_quota.h"

#include <gtest/gtest.h>

namespace muster::topology {
namespace {

std::optional<double> quota_of(const std::string& recorded) {
  return cgroup_cpu_quota(std::filesystem::path(MUSTER_TEST_DATA) / "root" / recorded);
}

TEST(CgroupQuota, TakesTheSmallestOfThePathInVersion2) {
  EXPECT_EQ(quota_of("v2-limit"), 2.5);
}

TEST(CgroupQuota, IsAbsentWhenVersion2SaysMax) {
  EXPECT_EQ(quota_of("v2-unlimited"), std::nullopt);
}

TEST(CgroupQuota, ReadsTheTopWhenThePathLeavesTheNamespace) {
  EXPECT_EQ(quota_of("v2-namespace"), 1.5);
}

TEST(CgroupQuota, ReadsVersion1WithJoinedControllers) {
  EXPECT_EQ(quota_of("v1-joined"), 3.0);
}

TEST(CgroupQuota, ReadsTheTopWhenVersion1NamesAPathOfTheHost) {
  EXPECT_EQ(quota_of("v1-container"), 0.5);
}

TEST(CgroupQuota, IsAbsentWhenFilesAreGarbled) {
  EXPECT_EQ(quota_of("garbled"), std::nullopt);
}

TEST(CgroupQuota, IsAbsentWithoutAnyFile) {
  EXPECT_EQ(quota_of("not-there"), std::nullopt);
}

}  // namespace
}  // namespace muster::topology
