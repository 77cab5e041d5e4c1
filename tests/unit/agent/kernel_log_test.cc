#include "rank_agent/kernel_log.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace muster::agent {
namespace {

std::vector<LoggedOomKill> recorded(const std::string& name) {
  return oom_kills_in(read_file(MUSTER_TEST_DATA "/cgroups/" + name).value());
}

TEST(OomKillsInTest, TwoLinesOfOneKillAreOneKill) {
  const auto kills = recorded("oom-memcg.log");
  ASSERT_EQ(kills.size(), 1U);
  EXPECT_EQ(kills[0].pid, 6301);
  EXPECT_EQ(kills[0].name, "python3");
  EXPECT_EQ(kills[0].cgroup, "/train/rank-1");
  EXPECT_EQ(kills[0].limited, "/train");
}

TEST(OomKillsInTest, AKillForTheWholeMachineHasNoLimitedCgroup) {
  const auto kills = recorded("oom-global.log");
  ASSERT_EQ(kills.size(), 1U);
  EXPECT_EQ(kills[0].pid, 77);
  EXPECT_EQ(kills[0].name, "train (v2, x)") << "a name may hold anything";
  EXPECT_EQ(kills[0].cgroup, "/user.slice");
  EXPECT_EQ(kills[0].limited, "");
}

TEST(OomKillsInTest, OneLineIsEnoughAndBrokenLinesAreLeftOut) {
  const auto kills = recorded("oom-rate-limited.log");
  ASSERT_EQ(kills.size(), 3U);
  EXPECT_EQ(kills[1].pid, 13);
  EXPECT_EQ(kills[1].name, "pt_data_worker");
  EXPECT_EQ(kills[1].limited, "?") << "of which cgroup is not said";
  EXPECT_EQ(kills[2].pid, 14);
  EXPECT_EQ(kills[2].limited, "");
}

TEST(KernelLogTest, IsQuietWhereItMayNotBeRead) {
  KernelLog log = KernelLog::open();
  EXPECT_EQ(log.read_new().find("python3"), std::string::npos) << "older messages are not told";
  EXPECT_EQ(KernelLog().read_new(), "");
}

}  // namespace
}  // namespace muster::agent
