#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/environment_families.h"
#include "launcher/plan/rank_environment.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

topology::Gpu gpu(int ordinal, const std::string& uuid) {
  topology::Gpu gpu;
  gpu.visible_ordinal = ordinal;
  gpu.uuid = uuid;
  gpu.model = "NVIDIA A100-SXM4-40GB";
  gpu.vendor = 0x10de;
  gpu.physical_index = ordinal + 4;
  return gpu;
}

// A plan of two ranks with two of the node's four GPUs each; what places them has its own tests.
class GpuEnvironment : public ::testing::Test {
 protected:
  GpuEnvironment() {
    config_ = script_config(2, config::Backend::kDirect);
    inputs_ = inputs_for(machine("server-2x16"));
    for (int i = 0; i < 4; ++i) node().gpus.push_back(gpu(i, "GPU-" + std::string(1, "abcd"[i])));
    plan_.nodes.push_back({0, "server"});
    for (int i = 0; i < 2; ++i) {
      RankPlacement rank;
      rank.rank = rank.local_rank = i;
      plan_.ranks.push_back(rank);
    }
    deal();
  }
  topology::NodeInventory& node() { return inputs_.nodes.front(); }
  void deal() {
    for (std::size_t i = 0; i < 2; ++i) {
      plan_.ranks[i].gpus = {node().gpus[2 * i], node().gpus[2 * i + 1]};
    }
  }
  void see_own() { plan_.nodes[0].gpu_visibility = config::GpuVisibility::kOwn; }
  void config_sets(const std::string& name, const std::string& value) {
    config_.environment_variables.emplace_back(
        name, config::Setting<std::string>{value, from_line(9, 5, name + ": " + value)});
  }
  // "NAME=value" for each.
  std::vector<std::string> of_rank(std::size_t rank) {
    const Defaults defaults(config_, inputs_);
    const FamilyFacts facts{config_, inputs_, plan_, defaults};
    Variables variables;
    add_gpu_names(facts, plan_.ranks[rank], variables);
    std::vector<std::string> all;
    for (const auto& variable : variables) all.push_back(variable.name + "=" + variable.value);
    return all;
  }
  std::vector<std::string> warnings() {
    const Defaults defaults(config_, inputs_);
    const FamilyFacts facts{config_, inputs_, plan_, defaults};
    LaunchPlan explained = plan_;
    for (const RankPlacement& rank : plan_.ranks) {
      explained.rank_environment.emplace_back();
      add_gpu_names(facts, rank, explained.rank_environment.back());
    }
    explain_gpus(facts, explained);
    return explained.warnings;
  }

  config::RunConfig config_;
  PlanInputs inputs_;
  LaunchPlan plan_;
};

TEST_F(GpuEnvironment, LeavesAllVisibleAndSaysWhichAreTheRanksOwn) {
  EXPECT_THAT(of_rank(0), ElementsAre("MUSTER_GPU=0,1", "MUSTER_GPU_UUID=GPU-a,GPU-b"));
  EXPECT_THAT(of_rank(1), ElementsAre("MUSTER_GPU=2,3", "MUSTER_GPU_UUID=GPU-c,GPU-d"));
  EXPECT_THAT(warnings(), IsEmpty());
}

TEST_F(GpuEnvironment, SetsNothingForARunOnCpus) {
  for (RankPlacement& rank : plan_.ranks) rank.gpus.clear();
  EXPECT_THAT(of_rank(0), IsEmpty());
}

TEST_F(GpuEnvironment, NarrowsByUuidWhenAsked) {
  see_own();
  EXPECT_THAT(of_rank(1),
              ElementsAre("MUSTER_GPU=2,3", "MUSTER_GPU_UUID=GPU-c,GPU-d",
                          "CUDA_VISIBLE_DEVICES=GPU-c,GPU-d", "CUDA_DEVICE_ORDER=PCI_BUS_ID"));
}

// The caller left GPUs 4 to 7 visible: number 4 of the node is the first that is visible.
TEST_F(GpuEnvironment, NarrowsByTheNodesNumbersWhereAUuidIsUnknown) {
  see_own();
  node().gpus[3].uuid.clear();
  deal();
  EXPECT_THAT(of_rank(1), ElementsAre("MUSTER_GPU=2,3", "MUSTER_GPU_UUID=",
                                      "CUDA_VISIBLE_DEVICES=6,7", "CUDA_DEVICE_ORDER=PCI_BUS_ID"));
  EXPECT_THAT(of_rank(0), testing::Contains("CUDA_VISIBLE_DEVICES=GPU-a,GPU-b"));
}

TEST_F(GpuEnvironment, ARankWithoutGpusBesideOthersSeesNone) {
  see_own();
  plan_.ranks[1].gpus.clear();
  EXPECT_THAT(of_rank(1), ElementsAre("MUSTER_GPU=", "MUSTER_GPU_UUID=", "CUDA_VISIBLE_DEVICES=",
                                      "CUDA_DEVICE_ORDER=PCI_BUS_ID"));
}

TEST_F(GpuEnvironment, AListOfTheNodeIsTheSameForAllItsRanks) {
  plan_.nodes[0].visible_devices = {"GPU-a", "GPU-c", "GPU-b", "GPU-d"};
  for (const std::size_t rank : {0U, 1U}) {
    EXPECT_THAT(of_rank(rank),
                testing::IsSupersetOf({"CUDA_VISIBLE_DEVICES=GPU-a,GPU-c,GPU-b,GPU-d",
                                       "CUDA_DEVICE_ORDER=PCI_BUS_ID"}));
  }
}

TEST_F(GpuEnvironment, AmdsGpusAreNarrowedByAmdsNames) {
  see_own();
  for (topology::Gpu& each : node().gpus) each.vendor = 0x1002;
  deal();
  EXPECT_THAT(of_rank(1), ElementsAre("MUSTER_GPU=2,3", "MUSTER_GPU_UUID=GPU-c,GPU-d",
                                      "ROCR_VISIBLE_DEVICES=6,7", "HIP_VISIBLE_DEVICES=0,1"));
}

TEST_F(GpuEnvironment, WarnsOfAConfigThatChoosesOtherDevices) {
  see_own();
  config_sets("CUDA_VISIBLE_DEVICES", "0");
  EXPECT_THAT(warnings(), ElementsAre(AllOf(HasSubstr("CUDA_VISIBLE_DEVICES=0 (run.yaml:9:5)"),
                                            HasSubstr("not the GPUs that the plan chose"))));
}

TEST_F(GpuEnvironment, AConfigThatRepeatsTheCallersDevicesContradictsNothing) {
  config_sets("CUDA_VISIBLE_DEVICES", "4,5,6,7");
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("the plan was made without it")));
  inputs_.caller_environment["CUDA_VISIBLE_DEVICES"] = "4,5,6,7";
  EXPECT_THAT(warnings(), IsEmpty());
}

TEST_F(GpuEnvironment, WarnsOfAnOrderThatIsNotThePlansWhereModelsDiffer) {
  node().gpus[2].model = "NVIDIA T4";
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("set CUDA_DEVICE_ORDER=PCI_BUS_ID")));
  inputs_.caller_environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
  EXPECT_THAT(warnings(), IsEmpty());
  inputs_.caller_environment["CUDA_DEVICE_ORDER"] = "FASTEST_FIRST";
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("counts the fastest first")));
  see_own();
  EXPECT_THAT(warnings(), IsEmpty()) << "the plan says the order then";
}

}  // namespace
}  // namespace muster::plan
