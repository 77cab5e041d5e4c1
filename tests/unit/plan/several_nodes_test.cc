// Plans for several nodes, from the inventory of each.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/batch_directories.h"
#include "launcher/plan/make_plan.h"
#include "launcher/plan/plan_text.h"
#include "launcher/plan/rank_environment.h"
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

// Two nodes that differ in everything, and have met.
class Met : public ::testing::Test {
 protected:
  Met() : config_(config_for(2, std::nullopt)), inputs_(inputs_of({big_, small_})) {
    config_.distributed_backend.value = Backend::kDirect;
    inputs_.network = cluster::NetworkChoice{{"10.7.0.0/24"},
                                             false,
                                             {{"10.7.0.4", "eth0"}, {"10.7.0.5", "ens3"}},
                                             {{"network", "proved"}}};
  }

  // What the node plans for itself, from what the head tells it.
  LaunchPlan part_of_node(const LaunchPlan& whole, int node_rank) const {
    PlanInputs own = inputs_of({node_rank == 0 ? big_ : small_});
    own.part = part_of(whole, node_rank);
    return planned(config_, own);
  }

  topology::NodeInventory big_ = named(kFourGpus, "big");
  topology::NodeInventory small_ = named(kTwoGpus, "small");
  config::RunConfig config_;
  PlanInputs inputs_;
};

TEST_F(Met, EveryNodePlansItsPartAsTheHeadDoes) {
  for (const Backend backend : {Backend::kDirect, Backend::kMpi}) {
    config_.distributed_backend.value = backend;
    const LaunchPlan whole = planned(config_, inputs_);
    for (const int node_rank : {0, 1}) {
      const LaunchPlan part = part_of_node(whole, node_rank);
      EXPECT_EQ(placement_digest(part, node_rank), placement_digest(whole, node_rank));
      EXPECT_EQ(part.mpirun.has_value(), whole.mpirun.has_value());
      for (const RankPlacement& rank : part.ranks) {
        EXPECT_EQ(complete_rank_environment(part, inputs_, rank.rank),
                  complete_rank_environment(whole, inputs_, rank.rank))
            << rank.rank;
      }
      EXPECT_EQ(host_file_text(part), host_file_text(whole));
    }
  }
}

TEST_F(Met, APartIsIndexedByTheNumbersOfTheRun) {
  const LaunchPlan whole = planned(config_, inputs_);
  const LaunchPlan part = part_of_node(whole, 1);
  EXPECT_EQ(part.world_size, 6);
  EXPECT_EQ(part.node_count, 2);
  ASSERT_EQ(part.ranks.size(), 2U);
  EXPECT_EQ(part.first_rank(), 4);
  EXPECT_EQ(part.rank(5).local_rank, 1);
  EXPECT_EQ(part.node(1).hostname, "small");
  EXPECT_FALSE(part.has_rank(3));
  EXPECT_TRUE(part.has_rank(4));
  EXPECT_FALSE(part.has_rank(6));
}

TEST_F(Met, AnotherPlacementHasAnotherDigest) {
  const LaunchPlan whole = planned(config_, inputs_);
  small_ = named(MachineShape{1, 1, 6, false, {0, 0, 0}}, "small");
  EXPECT_NE(placement_digest(part_of_node(whole, 1), 1), placement_digest(whole, 1));
}

TEST_F(Met, RanksAreToldWhereTheyMeet) {
  const LaunchPlan whole = planned(config_, inputs_);
  EXPECT_EQ(value_of(whole.common_environment, "MASTER_ADDR"), "10.7.0.4");
  EXPECT_EQ(value_of(whole.common_environment, "GROUP_WORLD_SIZE"), "2");
  EXPECT_EQ(value_of(whole.common_environment, "CCP_NODES"), "2 10.7.0.4 16 10.7.0.5 6");
  EXPECT_EQ(value_of(whole.common_environment, "AZ_BATCH_HOST_LIST"), "10.7.0.4,10.7.0.5");
  EXPECT_EQ(value_of(whole.common_environment, "NCCL_SOCKET_IFNAME"), "(none)");
  EXPECT_EQ(value_of(whole.rank_environment[0], "NCCL_SOCKET_IFNAME"), "=eth0");
  EXPECT_EQ(value_of(whole.rank_environment[4], "NCCL_SOCKET_IFNAME"), "=ens3");
  EXPECT_EQ(value_of(whole.rank_environment[4], "GLOO_SOCKET_IFNAME"), "ens3");
  EXPECT_EQ(value_of(whole.rank_environment[4], "GROUP_RANK"), "1");
  EXPECT_EQ(host_file_text(whole), "10.7.0.4 slots=4\n10.7.0.5 slots=2\n");
  EXPECT_THAT(plan_text(whole), HasSubstr("proved"));
}

TEST_F(Met, InterfacesOfOneNameAreCommon) {
  inputs_.network->nodes[1].interface = "eth0";
  const LaunchPlan whole = planned(config_, inputs_);
  EXPECT_EQ(value_of(whole.common_environment, "NCCL_SOCKET_IFNAME"), "=eth0");
  EXPECT_EQ(value_of(whole.common_environment, "NCCL_SOCKET_FAMILY"), "(none)");
}

TEST_F(Met, Ipv6HasBracketsWhereAPortFollows) {
  inputs_.network->ipv6 = true;
  inputs_.network->nodes = {{"fd00::4", "eth0"}, {"fd00::5", "eth0"}};
  StartValues start;
  start.master_port = "29500";
  start.service_port = "29501";
  auto plan = make_plan(config_, inputs_, start);
  ASSERT_TRUE(plan);
  EXPECT_EQ(value_of(plan->common_environment, "MASTER_ADDR"), "fd00::4");
  EXPECT_EQ(value_of(plan->common_environment, "AZ_BATCHAI_PYTORCH_INIT_METHOD"),
            "tcp://[fd00::4]:29500");
  EXPECT_EQ(value_of(plan->common_environment, "AZ_BATCH_MASTER_NODE"), "[fd00::4]:29501");
  EXPECT_EQ(value_of(plan->common_environment, "NCCL_SOCKET_FAMILY"), "AF_INET6");
  EXPECT_EQ(part_of_node(*plan, 1).network.ipv6, true);
}

// Names differ, and Open MPI's lists of networks know IPv4 alone.
TEST_F(Met, ByIpv6TheRanksOfMpirunAreToldTheirOwnInterface) {
  config_.distributed_backend.value = Backend::kMpi;
  inputs_.network->ipv6 = true;
  inputs_.network->nodes = {{"fd00::4", "eth0"}, {"fd00::5", "ens3"}};
  const LaunchPlan whole = planned(config_, inputs_);
  EXPECT_EQ(value_of(whole.rank_environment[0], "OMPI_MCA_btl_tcp_if_include"), "eth0");
  EXPECT_EQ(value_of(whole.rank_environment[4], "OMPI_MCA_btl_tcp_if_include"), "ens3");
  EXPECT_EQ(mpirun_environment(whole, inputs_).count("OMPI_MCA_btl_tcp_if_include"), 0U);
}

// Another way to start daemons would find no node.
TEST_F(Met, HowDaemonsAreStartedIsNotTheConfigs) {
  config_.distributed_backend.value = Backend::kMpi;
  config_.environment_variables.emplace_back(
      "OMPI_MCA_plm_rsh_agent", config::Setting<std::string>{"ssh", from_line(9, 5, "…")});
  const LaunchPlan whole = planned(config_, inputs_);
  EXPECT_EQ(mpirun_environment(whole, inputs_).at("OMPI_MCA_plm_rsh_agent"),
            "/opt/muster/bin/muster-agent remote-exec");
}

TEST(ManyNodes, AreNotListedInVariables) {
  std::vector<topology::NodeInventory> nodes(kMostNodesListed + 1, named(kTwoGpus, "n"));
  PlanInputs inputs = inputs_of(std::move(nodes));
  const LaunchPlan plan = planned(config_for(kMostNodesListed + 1, 1), inputs);
  EXPECT_EQ(value_of(plan.common_environment, "CCP_NODES"), "(none)");
  EXPECT_TRUE(part_of(plan, 7).node_addresses.empty());
  EXPECT_EQ(part_of(plan, 7).first_rank, 7);
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
