// Plans for several nodes, from the inventory of each.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/make_plan.h"
#include "launcher/plan/plan_text.h"
#include "tests/support/gpu_machines.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::Backend;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

topology::NodeInventory named(const MachineShape& shape, const std::string& name) {
  topology::NodeInventory node = gpu_machine(shape);
  node.hostname = name;
  return node;
}

config::RunConfig config_for(int nodes, std::optional<int> per_node) {
  config::RunConfig config = script_config(1, Backend::kMpi);
  config.node_count = {nodes, from_line(8, 13, "node_count: …")};
  config.process_count_per_node.value = per_node;
  return config;
}

PlanInputs inputs_of(std::vector<topology::NodeInventory> nodes) {
  PlanInputs inputs = inputs_for(nodes.front());
  inputs.nodes = std::move(nodes);
  return inputs;
}

LaunchPlan planned(const config::RunConfig& config, const PlanInputs& inputs) {
  auto plan = make_plan(config, inputs);
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? *plan : LaunchPlan{};
}

std::string value_of(const std::vector<EnvironmentVariable>& variables, const std::string& name) {
  for (const auto& variable : variables) {
    if (variable.name == name) return variable.value;
  }
  return "(none)";
}

const MachineShape kFourGpus{2, 1, 8, false, {0, 0, 1, 1}};
const MachineShape kTwoGpus{1, 1, 6, false, {0, 0}};

TEST(SeveralNodes, NumberTheirRanksThroughAll) {
  const LaunchPlan plan =
      planned(config_for(3, 4),
              inputs_of({named(kFourGpus, "a"), named(kFourGpus, "b"), named(kFourGpus, "c")}));
  ASSERT_EQ(plan.ranks.size(), 12U);
  EXPECT_EQ(plan.world_size, 12);
  EXPECT_EQ(plan.ranks[6].rank, 6);
  EXPECT_EQ(plan.ranks[6].local_rank, 2);
  EXPECT_EQ(plan.ranks[6].node_rank, 1);
  EXPECT_EQ(plan.ranks[6].cpuset, plan.ranks[2].cpuset);
  EXPECT_EQ(plan.nodes[2].hostname, "c");
  EXPECT_EQ(plan.nodes[2].rank_count, 4);
  EXPECT_EQ(value_of(plan.rank_environment[6], "RANK"), "6");
  EXPECT_EQ(value_of(plan.rank_environment[6], "LOCAL_RANK"), "2");
  EXPECT_EQ(value_of(plan.common_environment, "LOCAL_WORLD_SIZE"), "4");
}

TEST(SeveralNodes, HaveNoMpirunLineBeforeTheyHaveMet) {
  const LaunchPlan plan =
      planned(config_for(2, 1), inputs_of({named(kTwoGpus, "a"), named(kTwoGpus, "b")}));
  EXPECT_FALSE(plan.mpirun);
  EXPECT_THAT(plan_text(plan), HasSubstr("formed when the nodes have met"));
  EXPECT_EQ(value_of(plan.common_environment, "MASTER_ADDR"), "<measured at join>");
}

TEST(SeveralNodes, MayDiffer) {
  const LaunchPlan plan = planned(config_for(2, std::nullopt),
                                  inputs_of({named(kFourGpus, "big"), named(kTwoGpus, "small")}));
  ASSERT_EQ(plan.ranks.size(), 6U);
  EXPECT_EQ(plan.nodes[0].rank_count, 4);
  EXPECT_EQ(plan.nodes[1].rank_count, 2);
  EXPECT_EQ(plan.ranks[5].gpus.front().visible_ordinal, 1);
  EXPECT_EQ(plan.ranks[5].cpuset.to_string(), "3-5");
  EXPECT_EQ(value_of(plan.rank_environment[0], "LOCAL_WORLD_SIZE"), "4");
  EXPECT_EQ(value_of(plan.rank_environment[5], "LOCAL_WORLD_SIZE"), "2");
}

TEST(SeveralNodes, SayWhatIsTheSameOfAllOnce) {
  const LaunchPlan plan =
      planned(config_for(3, 8),
              inputs_of({named(kFourGpus, "a"), named(kFourGpus, "b"), named(kFourGpus, "c")}));
  EXPECT_THAT(plan.warnings, ElementsAre(HasSubstr("8 ranks share 4 GPUs of a and 2 others: set")));
  const auto placements = std::count_if(
      plan.reasons.begin(), plan.reasons.end(),
      [](const Reason& reason) { return reason.subject.rfind("placement on ", 0) == 0; });
  EXPECT_EQ(placements, 1);
}

TEST(SeveralNodes, NameTheOneWhereSomethingDoesNotFit) {
  config::RunConfig config = config_for(2, 4);
  config.resources.gpus_per_process = {1, from_line(7, 31, "…")};
  const auto plan =
      make_plan(config, inputs_of({named(kFourGpus, "big"), named(kTwoGpus, "small")}));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().message,
            "cannot place 4 processes on small: 2 GPUs visible and gpus_per_process is 1");
}

TEST(SeveralNodes, CountOneProcessForSeveralGpusWhenAuto) {
  config::RunConfig config = config_for(1, std::nullopt);
  config.resources.gpus_per_process = {2, from_line(7, 31, "…")};
  const LaunchPlan plan = planned(config, inputs_of({named(kFourGpus, "a")}));
  EXPECT_EQ(plan.world_size, 2);
  config.resources.gpus_per_process.value = 0;
  EXPECT_EQ(planned(config, inputs_of({named(kFourGpus, "a")})).world_size, 2);  // NUMA nodes
}

TEST(MigInstances, AreSeenByTheirRankAlone) {
  topology::NodeInventory node = named(kFourGpus, "a");
  for (auto& gpu : node.gpus) {
    gpu.parent_uuid = "GPU-parent";
    gpu.uuid = "MIG-" + std::to_string(gpu.visible_ordinal);
  }
  const LaunchPlan plan = planned(config_for(1, 4), inputs_of({node}));
  EXPECT_EQ(value_of(plan.rank_environment[2], "CUDA_VISIBLE_DEVICES"), "MIG-2");
}

}  // namespace
}  // namespace muster::plan
