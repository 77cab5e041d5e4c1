// NCCL_IB_HCA, NCCL_TOPO_FILE and UCX_NET_DEVICES, and what is said of those that others set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/environment_families.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

topology::Nic port(const std::string& name, topology::NicKind kind, const std::string& unfit = "") {
  topology::Nic nic;
  nic.name = name;
  nic.kind = kind;
  nic.port = 1;
  nic.state = unfit == "down" ? topology::LinkState::kDown : topology::LinkState::kActive;
  nic.unfit = unfit;
  return nic;
}

// Two ranks with a GPU and a near port each, on a node of two NUMA nodes of four CPUs.
class NetworkEnvironment : public ::testing::Test {
 protected:
  NetworkEnvironment() {
    topology::NodeInventory node;
    node.hostname = "node-a";
    for (int index = 0; index < 2; ++index) {
      topology::NumaNode numa;
      numa.os_index = index;
      for (int cpu = 4 * index; cpu < 4 * (index + 1); ++cpu) numa.present_cpus.insert(cpu);
      node.numa_nodes.push_back(numa);
      RankPlacement rank;
      rank.rank = rank.local_rank = index;
      rank.cpuset = numa.present_cpus;
      topology::Gpu gpu;
      gpu.visible_ordinal = gpu.numa_node = index;
      rank.gpus = {gpu};
      rank.nics = {"mlx5_" + std::to_string(index)};
      plan_.ranks.push_back(rank);
    }
    node.nics = {port("mlx5_0", topology::NicKind::kInfiniBand),
                 port("mlx5_1", topology::NicKind::kInfiniBand),
                 port("mlx5_2", topology::NicKind::kInfiniBand, "down"),
                 port("rdmap0s27", topology::NicKind::kEfa)};
    inputs_.nodes = {node};
  }

  topology::NodeInventory& node() { return inputs_.nodes.front(); }

  // Fills the plan as rank_environment does.
  void fill() {
    const Defaults defaults(config_, inputs_);
    const FamilyFacts facts{config_, inputs_, plan_, defaults};
    plan_.common_environment.clear();
    plan_.rank_environment.clear();
    add_network_names(facts, plan_.common_environment);
    for (const RankPlacement& rank : plan_.ranks) {
      Variables variables;
      add_network_names(facts, rank, variables);
      plan_.rank_environment.push_back(variables);
    }
    explain_network(facts, plan_);
  }

  static std::vector<std::string> words(const Variables& variables) {
    std::vector<std::string> all;
    for (const auto& variable : variables) all.push_back(variable.name + "=" + variable.value);
    return all;
  }

  std::string why(const std::string& subject) const {
    for (const Reason& reason : plan_.reasons) {
      if (reason.subject == subject) return reason.value + " | " + reason.why;
    }
    return "";
  }

  config::RunConfig config_;
  PlanInputs inputs_;
  LaunchPlan plan_;
};

TEST_F(NetworkEnvironment, NamesAllUsablePortsExactlyAndTheNearestForUcx) {
  fill();
  EXPECT_THAT(words(plan_.common_environment), ElementsAre("NCCL_IB_HCA==mlx5_0:1,mlx5_1:1"));
  EXPECT_THAT(words(plan_.rank_environment[0]), ElementsAre("UCX_NET_DEVICES=mlx5_0:1"));
  EXPECT_THAT(words(plan_.rank_environment[1]), ElementsAre("UCX_NET_DEVICES=mlx5_1:1"));
  EXPECT_EQ(why("NCCL_IB_HCA"),
            "=mlx5_0:1,mlx5_1:1 | all usable RDMA ports of node-a, by their exact names; left out: "
            "mlx5_2:1 (down)");
  EXPECT_THAT(plan_.warnings, IsEmpty());
}

TEST_F(NetworkEnvironment, NamesTheNearestAloneWhereTheConfigAsksForThem) {
  config_.resources.nic_visibility.value = config::NicVisibility::kOwn;
  fill();
  EXPECT_THAT(plan_.common_environment, IsEmpty());
  EXPECT_THAT(words(plan_.rank_environment[1]),
              ElementsAre("NCCL_IB_HCA==mlx5_1:1", "UCX_NET_DEVICES=mlx5_1:1"));
}

TEST_F(NetworkEnvironment, IsForEachRankWhereNodesDiffer) {
  inputs_.nodes.push_back(node());
  inputs_.nodes[1].nics.resize(1);
  plan_.ranks[1].node_rank = 1;
  plan_.ranks[1].nics = {"mlx5_0"};
  fill();
  EXPECT_THAT(plan_.common_environment, IsEmpty());
  EXPECT_THAT(words(plan_.rank_environment[0]),
              ElementsAre("NCCL_IB_HCA==mlx5_0:1,mlx5_1:1", "UCX_NET_DEVICES=mlx5_0:1"));
  EXPECT_THAT(words(plan_.rank_environment[1]),
              ElementsAre("NCCL_IB_HCA==mlx5_0:1", "UCX_NET_DEVICES=mlx5_0:1"));
}

TEST_F(NetworkEnvironment, LeavesNcclAloneWithoutGpus) {
  for (RankPlacement& rank : plan_.ranks) rank.gpus.clear();
  fill();
  EXPECT_THAT(plan_.common_environment, IsEmpty());
  EXPECT_THAT(words(plan_.rank_environment[0]), ElementsAre("UCX_NET_DEVICES=mlx5_0:1"));
}

TEST_F(NetworkEnvironment, SaysNothingWithoutPortsThatItKnows) {
  node().nics = {port("rdmap0s27", topology::NicKind::kEfa)};
  for (RankPlacement& rank : plan_.ranks) rank.nics = {"rdmap0s27"};
  fill();
  EXPECT_THAT(plan_.common_environment, IsEmpty());
  EXPECT_THAT(plan_.rank_environment[0], IsEmpty());
  EXPECT_THAT(plan_.reasons, IsEmpty());
}

TEST_F(NetworkEnvironment, GivesWayToEverybodyElse) {
  inputs_.caller_environment["NCCL_IB_HCA"] = "mlx5";
  inputs_.caller_environment["UCX_NET_DEVICES"] = "mlx5_1:1";
  fill();
  EXPECT_THAT(plan_.common_environment, IsEmpty());
  EXPECT_THAT(plan_.rank_environment[0], IsEmpty());
  EXPECT_EQ(why("NCCL_IB_HCA"), "mlx5 | the caller's environment");
  EXPECT_THAT(plan_.warnings, IsEmpty()) << "mlx5 is the beginning of names that are there";
}

TEST_F(NetworkEnvironment, GivesWayToNcclConf) {
  node().nccl_settings = {{"NCCL_IB_HCA", "=mlx5_0:1", "/etc/nccl.conf"}};
  fill();
  EXPECT_THAT(plan_.common_environment, IsEmpty());
  EXPECT_EQ(why("NCCL_IB_HCA"), "=mlx5_0:1 | /etc/nccl.conf");
}

TEST_F(NetworkEnvironment, WarnsOfDevicesThatAreNotThereOrDown) {
  config_.environment_variables.emplace_back(
      "NCCL_IB_HCA",
      config::Setting<std::string>{"=mlx5_0,mlx5_2:1,mlx5_9", from_line(7, 3, "NCCL_IB_HCA: …")});
  inputs_.caller_environment["UCX_NET_DEVICES"] = "mlx5_8:1,eth0";
  fill();
  ASSERT_EQ(plan_.warnings.size(), 3U);
  EXPECT_THAT(plan_.warnings[0],
              HasSubstr("(run.yaml:7:3) names mlx5_2:1, which on node-a is down"));
  EXPECT_THAT(plan_.warnings[1],
              HasSubstr("names mlx5_9, which on node-a is not there: it has mlx5_0:1, mlx5_1:1"));
  EXPECT_THAT(plan_.warnings[2], HasSubstr("UCX_NET_DEVICES=mlx5_8:1,eth0"));
}

TEST_F(NetworkEnvironment, DoesNotWarnOfWhatIsLeftOut) {
  inputs_.caller_environment["NCCL_IB_HCA"] = "^mlx5_9";
  fill();
  EXPECT_THAT(plan_.warnings, IsEmpty());
}

TEST_F(NetworkEnvironment, NamesATopologyFileThatNcclWouldNotFind) {
  topology::NcclTopologyFile file{"/opt/microsoft/ndv4-topo.xml",
                                  "the place that Azure's images use"};
  file.used = true;
  node().nccl_file = file;
  fill();
  EXPECT_EQ(common_value(plan_, "NCCL_TOPO_FILE"), "/opt/microsoft/ndv4-topo.xml");
  EXPECT_THAT(why("NCCL_TOPO_FILE"), HasSubstr("it holds on node-a"));
  node().nccl_file->found_by_nccl = true;
  fill();
  EXPECT_EQ(common_value(plan_, "NCCL_TOPO_FILE"), "");
  node().nccl_file = file;
  node().nccl_file->used = false;
  fill();
  EXPECT_EQ(common_value(plan_, "NCCL_TOPO_FILE"), "");
  node().nccl_file = file;
  inputs_.caller_environment["NCCL_TOPO_FILE"] = "";
  fill();
  EXPECT_FALSE(is_there(plan_.common_environment, "NCCL_TOPO_FILE"));
}

TEST_F(NetworkEnvironment, WarnsWhereNcclsThreadsLeaveTheRanksCores) {
  inputs_.caller_environment["NCCL_IGNORE_CPU_AFFINITY"] = "1";
  fill();
  EXPECT_THAT(plan_.warnings, IsEmpty()) << "cores and GPUs are together";
  std::swap(plan_.ranks[0].cpuset, plan_.ranks[1].cpuset);
  fill();
  ASSERT_EQ(plan_.warnings.size(), 1U);
  EXPECT_THAT(plan_.warnings[0], HasSubstr("the cores of ranks 0, 1 are not near the GPU"));
  plan_.warnings.clear();
  inputs_.caller_environment["NCCL_IGNORE_CPU_AFFINITY"] = "0";
  fill();
  EXPECT_THAT(plan_.warnings, IsEmpty());
}

}  // namespace
}  // namespace muster::plan
