#include "launcher/plan/rankfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/rank_environment.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class Rankfile : public ::testing::Test {
 protected:
  void use(const std::string& machine_name, int processes,
           config::Backend backend = config::Backend::kMpi) {
    config_ = script_config(processes, backend);
    config_.resources.binding = {config::Binder::kRankfile, from_line(8, 12, "binding: rankfile")};
    inputs_ = inputs_for(machine(machine_name));
  }
  LaunchPlan plan() {
    auto plan = make_plan(config_, inputs_);
    EXPECT_TRUE(plan) << plan.error().message;
    return plan ? *plan : LaunchPlan{};
  }
  Error refusal() {
    auto plan = make_plan(config_, inputs_);
    EXPECT_FALSE(plan);
    return plan ? Error{} : plan.error();
  }
  std::string text() { return plan().mpirun->rankfile; }

  config::RunConfig config_;
  PlanInputs inputs_;
};

TEST_F(Rankfile, NamesCoresAndNotHardwareThreads) {
  use("laptop-4c8t", 2);
  EXPECT_EQ(text(), "rank 0=localhost slot=0-1\nrank 1=localhost slot=2-3\n");
}

TEST_F(Rankfile, CountsAllCoresWhereTheKernelsNumbersAreSparse) {
  use("sparse-ids", 2);
  EXPECT_EQ(text(), "rank 0=localhost slot=0-3\nrank 1=localhost slot=4-7\n");
}

// Cores 1 and 2 of package 0, and 1 to 3 of package 1, are what mpirun numbers from 0.
TEST_F(Rankfile, CountsOverTheCoresThatTheCpusetLeaves) {
  use("cpuset-2x4", 2);
  EXPECT_EQ(text(), "rank 0=localhost slot=0-1\nrank 1=localhost slot=2-4\n");
}

TEST_F(Rankfile, IsReadFromStdinSoThatNeitherLineNorVariableNamesAPlace) {
  use("server-2x16", 2);
  const auto variables = [&] {
    std::vector<std::string> names;
    const LaunchPlan made = plan();
    for (const auto& variable : made.mpirun->environment) {
      names.push_back(variable.name + "=" + variable.value);
    }
    return names;
  };
  EXPECT_THAT(plan().mpirun->argv(), Not(Contains(HasSubstr("rankfile"))));
  EXPECT_THAT(plan().mpirun->argv(), Not(Contains("--bind-to")));
  EXPECT_THAT(variables(), Contains("OMPI_MCA_orte_rankfile=/dev/stdin"));
  EXPECT_THAT(variables(), Not(Contains("OMPI_MCA_odls=pspawn"))) << "which cannot bind";
  inputs_.mpirun = MpirunIdentity{"/opt/openmpi/bin/mpirun", "5.0.11", 5, 0, false};
  EXPECT_THAT(plan().mpirun->argv(), Contains("rankfile:file=/dev/stdin"));
  EXPECT_THAT(plan().mpirun->argv(), Not(Contains("--bind-to")));
  EXPECT_THAT(variables(), Not(Contains(HasSubstr("rankfile"))));
}

TEST_F(Rankfile, NeedsMpirun) {
  use("server-2x16", 2, config::Backend::kDirect);
  EXPECT_EQ(refusal().code, ErrorCode::kConfig);
  EXPECT_THAT(refusal().message, HasSubstr("distributed_backend is direct"));
  ASSERT_TRUE(refusal().location);
  EXPECT_EQ(refusal().location->line, 8);
}

TEST_F(Rankfile, NeedsACoreForEachRank) {
  use("laptop-4c8t", 5);
  EXPECT_EQ(refusal().code, ErrorCode::kResources);
  EXPECT_THAT(refusal().message, HasSubstr("5 ranks are more than 4 cores of laptop-4c8t"));
}

LaunchPlan two_ranks(const CpuSet& first, const CpuSet& second) {
  LaunchPlan plan;
  for (const CpuSet& cpus : {first, second}) {
    RankPlacement rank;
    rank.rank = static_cast<int>(plan.ranks.size());
    rank.cpuset = cpus;
    plan.ranks.push_back(rank);
  }
  return plan;
}

TEST_F(Rankfile, RefusesRanksThatShareACore) {
  const auto text = rankfile_text(two_ranks({0, 4}, {0, 4, 1, 5}), {machine("laptop-4c8t")}, {});
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("ranks 0 and 1 share core 0"));
}

TEST_F(Rankfile, RefusesHalfACore) {
  const auto text = rankfile_text(two_ranks({0}, {1, 5}), {machine("laptop-4c8t")}, {});
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message,
              HasSubstr("rank 0 has hardware threads 0 of a core that has 0,4"));
}

TEST_F(Rankfile, WithBindingNoneNobodyBindsAndThreadsAreCountedAsPlanned) {
  use("server-2x16", 4);
  config_.resources.binding.value = config::Binder::kNone;
  const LaunchPlan made = plan();
  for (const RankPlacement& rank : made.ranks) {
    EXPECT_FALSE(rank.bound);
    EXPECT_EQ(rank.cpuset, inputs_.nodes.front().allowed);
    EXPECT_TRUE(rank.memory_nodes.empty());
  }
  EXPECT_EQ(complete_rank_environment(made, inputs_, 3).at("OMP_NUM_THREADS"), "8");
  EXPECT_THAT(made.mpirun->argv(), Contains("--bind-to"));
  EXPECT_THAT(made.warnings, testing::IsEmpty());
}

}  // namespace
}  // namespace muster::plan
