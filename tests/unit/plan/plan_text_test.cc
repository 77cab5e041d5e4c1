#include "launcher/plan/plan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "launcher/plan/plan_json.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::Backend;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

LaunchPlan sample(int processes, Backend backend) {
  auto plan = make_plan(script_config(processes, backend), inputs_for(machine("laptop-4c8t")));
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? *plan : LaunchPlan{};
}

TEST(PlanText, EndsWithTheExactLine) {
  const LaunchPlan plan = sample(2, Backend::kMpi);
  EXPECT_THAT(plan_text(plan), EndsWith("\n" + plan_argv(plan)));
}

TEST(PlanText, QuotesArgvForAShell) {
  LaunchPlan plan = sample(2, Backend::kDirect);
  plan.argv = {"python3", "train.py", "--name", "it's two"};
  EXPECT_EQ(plan_argv(plan), shell_quoted(plan.argv) + "\n");
  EXPECT_THAT(plan_argv(plan), HasSubstr("python3 train.py --name 'it"));
}

TEST(PlanText, ShowsWarnings) {
  EXPECT_THAT(plan_text(sample(9, Backend::kMpi)), HasSubstr("9 ranks share 4 cores"));
}

// Two ranks with GPUs on each of some nodes: rank 1's GPU is remote.
LaunchPlan with_gpus(int nodes) {
  LaunchPlan plan;
  plan.backend = Backend::kDirect;
  plan.argv = {"true"};
  plan.world_size = 2 * nodes;
  plan.rank_environment.resize(static_cast<std::size_t>(2 * nodes));
  for (int node = 0; node < nodes; ++node) {
    NodePlan& made = plan.nodes.emplace_back();
    made.node_rank = node;
    made.hostname = "node-" + std::to_string(node);
    made.layout = "strict";
    made.score = {0.7, 1, 1, 0.5, 1, 81.5, 0.5, 1, 0.75, 1};
    made.candidates = {{"strict", made.score}, {"spill", {0.5, 1, 1, 1, 1, 77.5, 0, 0, 0, 1}}};
    made.idle_gpus = {2, 3};
    for (int local = 0; local < 2; ++local) {
      RankPlacement& rank = plan.ranks.emplace_back();
      rank.rank = 2 * node + local;
      rank.local_rank = local;
      rank.node_rank = node;
      rank.core_count = 2;
      rank.cpuset = local == 0 ? CpuSet{0, 1} : CpuSet{2, 3};
      rank.cores = local == 0 ? std::vector<int>{0, 1} : std::vector<int>{2, 3};
      rank.numa_nodes = {0};
      rank.memory_nodes = {local};
      rank.gpus = {{local, "GPU-" + std::to_string(rank.rank), local == 0 ? "07:00.0" : "0f:00.0",
                    local, "A100"}};
      rank.nics = {"mlx5_" + std::to_string(local)};
      rank.locality = local == 0 ? 1 : 0.4;
      rank.why = local == 0 ? "nearest to GPU 0" : "remote: GPU 1 is on NUMA 1";
    }
  }
  return plan;
}

// Ranks of another kind of node, or without a NIC, have other names.
TEST(PlanText, ShowsVariablesThatSomeRanksLack) {
  LaunchPlan plan = with_gpus(2);
  plan.rank_environment = {{{"A", "1", "muster"}},
                           {{"A", "1", "muster"}, {"NIC", "mlx5_1", "muster, default"}},
                           {{"NIC", "mlx5_2", "muster, default"}, {"A", "1", "muster"}},
                           {{"A", "1", "muster"}}};
  const std::string text = plan_text(plan);
  EXPECT_THAT(text, HasSubstr("  all    A=1                       muster\n"));
  EXPECT_THAT(text, HasSubstr("  each   NIC=-, mlx5_1, mlx5_2, -  muster, default\n"));
}

TEST(PlanText, ShowsWhereGpusAreAndWhatWasChosen) {
  const std::string text = plan_text(with_gpus(1));
  EXPECT_THAT(
      text,
      HasSubstr(
          "  rank  node    local  GPU  bus id   NUMA  cores  CPUs  memory       NIC     score  "
          "why\n"
          "     0  node-0      0    0  07:00.0  0         2  0-1   preferred    mlx5_0   1.00  "
          "nearest to GPU 0\n"
          "     1  node-0      1    1  0f:00.0  0         2  2-3   preferred 1  mlx5_1   0.40  "
          "remote: GPU 1 is on NUMA 1\n"
          "\n"
          "  node-0: layout strict, P 81.5 (locality 0.70, exclusive 1.00, balance 1.00, use 0.50, "
          "coverage 1.00); apart from P: memory 0.50, siblings 1.00, rail 0.75, order 1.00\n"
          "    looked at: strict 81.5 (taken), spill 77.5\n"
          "    without a rank: GPU 2-3\n"));
}

TEST(PlanText, ShowsNodesOfOneKindOnceWithTheirCount) {
  LaunchPlan plan = with_gpus(7);
  const std::string text = plan_text(plan);
  EXPECT_THAT(text, HasSubstr("  node-0 stands for 7 nodes that are placed alike: also node-1 "
                              "(ranks 2-3), node-2 (ranks 4-5), node-3 (ranks 6-7), node-4 (ranks "
                              "8-9) and 2 more\n"));
  EXPECT_THAT(text, Not(HasSubstr("\n     3  node-1")));
  plan.ranks[7].cpuset = {4, 5};
  EXPECT_THAT(plan_text(plan), HasSubstr("\n     7  node-3      1"));
  EXPECT_THAT(plan_text(plan), HasSubstr("node-0 stands for 6 nodes"));
}

TEST(PlanJson, RoundsScores) {
  LaunchPlan plan = with_gpus(1);
  plan.nodes[0].score.locality = 0.8500000000000003;
  plan.ranks[0].locality = 2.0 / 3;
  const auto json = nlohmann::json::parse(plan_json(plan));
  EXPECT_EQ(json["nodes"][0]["score"]["locality"], 0.85);
  EXPECT_EQ(json["ranks"][0]["locality"], 0.6667);
}

TEST(PlanJson, HasEveryFieldOfAPlacementByGpu) {
  const auto json = nlohmann::json::parse(plan_json(with_gpus(1)));
  const auto& node = json["nodes"][0];
  EXPECT_EQ(node["layout"], "strict");
  EXPECT_EQ(node["score"]["total"], 81.5);
  EXPECT_EQ(node["candidates"][1]["name"], "spill");
  EXPECT_EQ(node["idle_gpus"], nlohmann::json({2, 3}));
  const auto& rank = json["ranks"][1];
  EXPECT_EQ(rank["gpus"][0]["index"], 1);
  EXPECT_EQ(rank["gpus"][0]["bus_id"], "0f:00.0");
  EXPECT_EQ(rank["gpus"][0]["uuid"], "GPU-1");
  EXPECT_EQ(rank["gpus"][0]["numa_node"], 1);
  EXPECT_EQ(rank["cores"], "2-3");
  EXPECT_EQ(rank["numa_nodes"], nlohmann::json({0}));
  EXPECT_EQ(rank["memory_policy"], "preferred");
  EXPECT_EQ(rank["nics"], nlohmann::json({"mlx5_1"}));
  EXPECT_EQ(rank["locality"], 0.4);
  EXPECT_EQ(rank["why"], "remote: GPU 1 is on NUMA 1");
}

TEST(PlanJson, HasTheFieldsThatOthersBuildOn) {
  const LaunchPlan plan = sample(2, Backend::kMpi);
  const auto json = nlohmann::json::parse(plan_json(plan));
  EXPECT_EQ(json["nodes"][0]["node_rank"], 0);
  EXPECT_EQ(json["nodes"][0]["hostname"], "laptop-4c8t");
  const auto& rank = json["ranks"][1];
  EXPECT_EQ(rank["rank"], 1);
  EXPECT_EQ(rank["local_rank"], 1);
  EXPECT_EQ(rank["node_rank"], 0);
  EXPECT_EQ(rank["cpuset"], "2-3,6-7");
  EXPECT_EQ(rank["memory_nodes"], "0");
  EXPECT_TRUE(rank["gpus"].is_array());
  EXPECT_TRUE(rank["nics"].is_array());
  EXPECT_EQ(json["mpirun_argv"].get<std::vector<std::string>>(), plan.mpirun->argv());
  EXPECT_EQ(json["environment"]["common"]["WORLD_SIZE"], "2");
  EXPECT_EQ(json["environment"]["per_rank"][1]["RANK"], "1");
  EXPECT_FALSE(json["reasons"].empty());
  EXPECT_TRUE(json["warnings"].is_array());
}

TEST(PlanJson, HasAnEmptyMpirunArgvWithoutMpirun) {
  const auto json = nlohmann::json::parse(plan_json(sample(1, Backend::kNone)));
  EXPECT_TRUE(json["mpirun_argv"].is_array());
  EXPECT_TRUE(json["mpirun_argv"].empty());
  EXPECT_TRUE(json["mpirun"].is_null());
}

TEST(PlanJson, StaysValidWhenAValueIsNotUtf8) {
  LaunchPlan plan = sample(1, Backend::kNone);
  plan.common_environment.push_back({"ODD", "\xff\xfe", "run.yaml:9:5"});
  EXPECT_TRUE(nlohmann::json::accept(plan_json(plan)));
}

}  // namespace
}  // namespace muster::plan
