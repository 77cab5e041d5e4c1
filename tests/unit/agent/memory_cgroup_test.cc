#include "rank_agent/memory_cgroup.h"

#include <unistd.h>

#include "tests/support/scratch.h"

namespace muster::agent {
namespace {

Result<MemoryCgroup> recorded(const std::string& name) {
  return memory_cgroup("self", MUSTER_TEST_DATA "/cgroups/" + name);
}

std::string why_not(const Result<MemoryCgroup>& cgroup) {
  if (!cgroup) return cgroup.error().message;
  const auto kills = oom_kills(*cgroup);
  return kills ? "it can" : kills.error().message;
}

TEST(MemoryCgroupTest, CountsInVersion1OfAHybridLayout) {
  const auto cgroup = recorded("hybrid");
  ASSERT_TRUE(cgroup) << cgroup.error().message;
  EXPECT_EQ(cgroup->version, 1);
  EXPECT_EQ(cgroup->path, "/train/rank-1");
  const auto kills = oom_kills(*cgroup);
  ASSERT_TRUE(kills) << kills.error().message;
  EXPECT_EQ(kills->own, 1U);
  const auto limit = memory_limit(*cgroup);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->bytes, 96U << 20) << "the parent's, which is the smallest";
  EXPECT_EQ(limit->peak_bytes, 96U << 20);
  EXPECT_EQ(limit->cgroup, "/train");
}

TEST(MemoryCgroupTest, FindsAContainersOwnGroupUnderAPathOfTheHost) {
  const auto cgroup = recorded("v1-container");
  ASSERT_TRUE(cgroup) << cgroup.error().message;
  EXPECT_EQ(cgroup->path, "/docker/ab12");
  EXPECT_EQ(oom_kills(*cgroup)->own, 2U);
  EXPECT_EQ(memory_limit(*cgroup)->bytes, 512U << 20);
  EXPECT_EQ(memory_limit(*cgroup)->cgroup, "/docker/ab12");
}

TEST(MemoryCgroupTest, TellsOwnKillsFromThoseBelowInVersion2) {
  const auto cgroup = recorded("v2");
  ASSERT_TRUE(cgroup) << cgroup.error().message;
  EXPECT_EQ(cgroup->version, 2);
  EXPECT_EQ(oom_kills(*cgroup)->own, 3U);
  EXPECT_EQ(oom_kills(*cgroup)->below, 1U);
  EXPECT_EQ(memory_limit(*cgroup)->bytes, 1U << 30);
  EXPECT_EQ(memory_limit(*cgroup)->cgroup, "/system.slice/slurmstepd.scope/job_7");
}

TEST(MemoryCgroupTest, DoesWithoutTheFilesOfNewerKernels) {
  const auto cgroup = recorded("v2-namespace");
  ASSERT_TRUE(cgroup) << cgroup.error().message;
  EXPECT_EQ(oom_kills(*cgroup)->own, 1U);
  EXPECT_EQ(memory_limit(*cgroup)->bytes, 64U << 20);
  EXPECT_EQ(memory_limit(*cgroup)->peak_bytes, 0U);
  EXPECT_EQ(memory_limit(*cgroup)->cgroup, "/");
}

TEST(MemoryCgroupTest, APathAboveTheNamespaceIsTheTop) {
  const auto cgroup = recorded("v2-outside");
  ASSERT_TRUE(cgroup) << cgroup.error().message;
  EXPECT_EQ(cgroup->directory, cgroup->top);
  EXPECT_FALSE(memory_limit(*cgroup)) << "no limit";
}

TEST(MemoryCgroupTest, SaysWhyThereIsNothingToRead) {
  EXPECT_EQ(why_not(recorded("missing")), "no files of memory cgroup /user.slice are mounted");
  EXPECT_EQ(why_not(recorded("no-memory")), "it is in no memory cgroup");
  EXPECT_NE(why_not(recorded("old-kernel")).find("does not count OOM kills"), std::string::npos);
  EXPECT_NE(why_not(recorded("garbled")).find("does not count OOM kills"), std::string::npos);
  EXPECT_NE(why_not(recorded("not-there")).find("No such file"), std::string::npos);
}

// Without the privileges of root, who may read everything.
class ForbiddenCgroupTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    if (::getuid() != 0) return;
    std::filesystem::permissions(scratch(), std::filesystem::perms::all);
    ASSERT_EQ(::setresuid(kNobody, kNobody, 0), 0);
  }
  void TearDown() override {
    if (::getuid() == kNobody) {
      EXPECT_EQ(::setresuid(0, 0, 0), 0);
    }
  }

  static constexpr uid_t kNobody = 65534;
};

// Not taken for missing: the search would end at an ancestor, which did not count the kill.
TEST_F(ForbiddenCgroupTest, IsNotReplacedByAnAncestor) {
  write("proc/self/cgroup", "4:memory:/a/b\n");
  write("sys/fs/cgroup/memory/memory.oom_control", "oom_kill 0\n");
  write("sys/fs/cgroup/memory/a/b/memory.oom_control", "oom_kill 1\n");
  std::filesystem::permissions(scratch() / "sys/fs/cgroup/memory/a", std::filesystem::perms::none);
  EXPECT_NE(why_not(memory_cgroup("self", scratch().string())).find("Permission denied"),
            std::string::npos);
  std::filesystem::permissions(scratch() / "sys/fs/cgroup/memory/a",
                               std::filesystem::perms::owner_all);
}

TEST_F(ForbiddenCgroupTest, AFileThatMayNotBeReadSaysSo) {
  write("proc/self/cgroup", "4:memory:/a\n");
  write("sys/fs/cgroup/memory/memory.oom_control", "oom_kill 0\n");
  write("sys/fs/cgroup/memory/a/memory.oom_control", "oom_kill 1\n", 0);
  EXPECT_NE(why_not(memory_cgroup("self", scratch().string())).find("Permission denied"),
            std::string::npos);
}

}  // namespace
}  // namespace muster::agent
