// Each rule of placement by GPU, on small machines made by hand.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "launcher/plan/placement.h"
#include "launcher/plan/placement_score.h"
#include "tests/support/gpu_machines.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::CoreLayout;
using config::GpuAssignment;
using config::MemoryPolicy;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using topology::kUnknown;
using topology::NodeInventory;

// The machines of the study's table that have something to say.
const MachineShape kNdA100{2, 2, 24, false, {1, 1, 0, 0, 3, 3, 2, 2}};
const MachineShape kDgxA100{2, 4, 16, true, {3, 3, 1, 1, 7, 7, 5, 5}};
const MachineShape kThreeAndOne{2, 2, 24, true, {0, 0, 0, 1, 2, 2, 2, 3}};
const MachineShape kDgxH100{2, 1, 56, true, {0, 0, 0, 0, 1, 1, 1, 1}};

PlacementRequest request(int processes) {
  PlacementRequest request;
  request.process_count = {processes, from_line(4, 25, "process_count_per_node: …")};
  return request;
}

NodePlacement placed(const NodeInventory& node, const PlacementRequest& wanted) {
  auto placement = place(node, wanted);
  EXPECT_TRUE(placement) << placement.error().message;
  return placement ? *placement : NodePlacement{};
}

NodePlacement placed(const MachineShape& shape, const PlacementRequest& wanted) {
  return placed(gpu_machine(shape), wanted);
}

Error refused(const NodeInventory& node, const PlacementRequest& wanted) {
  auto placement = place(node, wanted);
  EXPECT_FALSE(placement);
  return placement ? Error{} : placement.error();
}

std::vector<std::string> cpusets(const NodePlacement& placement) {
  std::vector<std::string> sets;
  for (const RankPlacement& rank : placement.ranks) sets.push_back(rank.cpuset.to_string());
  return sets;
}

std::vector<std::string> gpus(const NodePlacement& placement) {
  std::vector<std::string> texts;
  for (const RankPlacement& rank : placement.ranks) {
    CpuSet ordinals;
    for (const auto& gpu : rank.gpus) ordinals.insert(gpu.visible_ordinal);
    texts.push_back(ordinals.to_string());
  }
  return texts;
}

std::vector<std::string> memory(const NodePlacement& placement) {
  std::vector<std::string> texts;
  for (const RankPlacement& rank : placement.ranks) {
    texts.push_back(CpuSet::from_vector(rank.memory_nodes).to_string());
  }
  return texts;
}

std::vector<std::string> nics(const NodePlacement& placement) {
  std::vector<std::string> texts;
  for (const RankPlacement& rank : placement.ranks) texts.push_back(join(rank.nics, "+"));
  return texts;
}

std::string reason(const NodePlacement& placement, const std::string& subject) {
  for (const Reason& reason : placement.reasons) {
    if (reason.subject == subject) return reason.value + " | " + reason.why;
  }
  return "";
}

TEST(GpuPlacement, BringsCpusToTheGpusAndKeepsTheirOrder) {
  const NodePlacement placement = placed(kNdA100, request(8));
  EXPECT_THAT(cpusets(placement),
              ElementsAre("24-35", "36-47", "0-11", "12-23", "72-83", "84-95", "48-59", "60-71"));
  EXPECT_THAT(gpus(placement), ElementsAre("0", "1", "2", "3", "4", "5", "6", "7"));
  EXPECT_THAT(memory(placement), ElementsAre("1", "1", "0", "0", "3", "3", "2", "2"));
  EXPECT_DOUBLE_EQ(placement.node.score.total, 100);
  EXPECT_DOUBLE_EQ(placement.node.score.memory, 1);
  EXPECT_DOUBLE_EQ(placement.node.score.siblings, 1);
  EXPECT_DOUBLE_EQ(placement.node.score.order, 1);
  EXPECT_EQ(placement.node.layout, "strict");
  EXPECT_EQ(placement.ranks[2].why, "nearest to GPU 2 (NUMA 0)");
  EXPECT_DOUBLE_EQ(placement.ranks[2].locality, 1);
}

TEST(GpuPlacement, GivesBlocksOfGpusToFewerRanks) {
  EXPECT_THAT(cpusets(placed(kNdA100, request(4))), ElementsAre("24-47", "0-23", "72-95", "48-71"));
  const NodePlacement two = placed(kNdA100, request(2));
  EXPECT_THAT(cpusets(two), ElementsAre("0-47", "48-95"));
  EXPECT_THAT(memory(two), ElementsAre("0-1", "2-3"));
  EXPECT_THAT(gpus(two), ElementsAre("0-3", "4-7"));
  EXPECT_THAT(cpusets(placed(kNdA100, request(1))), ElementsAre("0-95"));
}

TEST(GpuPlacement, GivesTheRemainderOfGpusToTheLowestRanks) {
  EXPECT_THAT(gpus(placed(kDgxH100, request(3))), ElementsAre("0-2", "3-5", "6-7"));
  EXPECT_THAT(gpus(placed(kDgxH100, request(5))), ElementsAre("0-1", "2-3", "4-5", "6", "7"));
}

TEST(GpuPlacement, LeavesNumaNodesWithoutGpusAloneWhenThatIsBetter) {
  const NodePlacement placement = placed(kDgxA100, request(8));
  EXPECT_EQ(placement.node.layout, "strict");
  EXPECT_EQ(cpusets(placement)[0], "48-55,176-183");
  EXPECT_EQ(cpusets(placement)[7], "88-95,216-223");
  EXPECT_NEAR(placement.node.score.total, 95, 0.05);
  EXPECT_DOUBLE_EQ(placement.node.score.use, 0.5);
  ASSERT_EQ(placement.node.candidates.size(), 3U);
  EXPECT_EQ(placement.node.candidates[2].name, "spill");
  EXPECT_NEAR(placement.node.candidates[2].score.total, 93.25, 0.05);
  EXPECT_THAT(reason(placement, "placement on node-a"),
              HasSubstr("strict: the cores of each NUMA node go to the ranks that have GPUs there: "
                        "scored 95.0 of 100, against 93.2 for balanced and 93.2 for spill"));
}

TEST(GpuPlacement, GivesThemToRanksThatSpanThePackage) {
  const NodePlacement placement = placed(kDgxA100, request(2));
  EXPECT_THAT(cpusets(placement), ElementsAre("0-63,128-191", "64-127,192-255"));
  EXPECT_NEAR(placement.node.score.total, 93.25, 0.05);
  EXPECT_THAT(memory(placement), ElementsAre("1,3", "5,7"));
}

TEST(GpuPlacement, SpillsIntoTheNeighbourWhenAsked) {
  PlacementRequest wanted = request(8);
  wanted.resources.layout = {CoreLayout::kSpill, from_line(9, 3, "…")};
  const NodePlacement placement = placed(kDgxA100, wanted);
  EXPECT_EQ(placement.node.layout, "spill");
  EXPECT_EQ(cpusets(placement)[0], "32-39,48-55,160-167,176-183");
  EXPECT_EQ(cpusets(placement)[2], "0-7,16-23,128-135,144-151");
  EXPECT_EQ(placement.node.candidates.size(), 1U);
  EXPECT_EQ(placement.ranks[0].why,
            "8 of 16 cores nearest to GPU 0 (NUMA 3), 8 elsewhere in its package");
  EXPECT_THAT(reason(placement, "placement on node-a"), HasSubstr("as run.yaml:9:3 asks"));
}

TEST(GpuPlacement, BalancesExactlyWhereNumaNodesHaveDifferentNumbersOfGpus) {
  const NodePlacement four = placed(kThreeAndOne, request(4));
  EXPECT_EQ(four.node.layout, "balanced");
  EXPECT_THAT(cpusets(four),
              ElementsAre("0-23,96-119", "24-47,120-143", "48-71,144-167", "72-95,168-191"));
  EXPECT_DOUBLE_EQ(four.node.score.total, 100);
  EXPECT_NEAR(four.node.candidates[0].score.total, 92.5, 0.05);

  const NodePlacement eight = placed(kThreeAndOne, request(8));
  EXPECT_EQ(eight.node.layout, "balanced");
  EXPECT_EQ(cpusets(eight)[0], "0-7,36-39,96-103,132-135");
  EXPECT_EQ(cpusets(eight)[2], "16-23,44-47,112-119,140-143");
  EXPECT_EQ(cpusets(eight)[3], "24-35,120-131");
  EXPECT_NEAR(eight.node.score.total, 96.1, 0.05);
  EXPECT_NEAR(eight.node.candidates[0].score.total, 90, 0.05);
}

TEST(GpuPlacement, NeverSplitsSiblings) {
  for (int n = 1; n <= 16; ++n) {
    EXPECT_DOUBLE_EQ(placed(kDgxH100, request(n)).node.score.siblings, 1) << n;
  }
}

TEST(GpuPlacement, ReservesCoresFromNumaNodesWithoutGpusFirst) {
  PlacementRequest wanted = request(4);
  wanted.resources.reserve_cores.value = 2;
  const NodePlacement idle = placed(kDgxA100, wanted);
  EXPECT_THAT(cpusets(idle), Contains("112-127,240-255"));
  EXPECT_THAT(reason(idle, "reserve_cores on node-a"), HasSubstr("111,"));
  const NodePlacement busy = placed(kDgxH100, wanted);
  // 55 cores on each socket, of which one does not divide.
  EXPECT_EQ(busy.ranks[3].core_count + busy.ranks[2].core_count, 54);
  EXPECT_EQ(busy.ranks[0].core_count + busy.ranks[1].core_count, 54);
  wanted.resources.reserve_cores.value = 112;
  EXPECT_EQ(refused(gpu_machine(kDgxH100), wanted).message,
            "cannot place 4 processes on node-a: reserve_cores is 112 and 112 cores are allowed");
}

TEST(GpuPlacement, GivesExactlyTheCoresThatAreAsked) {
  PlacementRequest wanted = request(8);
  wanted.resources.cores_per_process = {4, from_line(6, 33, "…")};
  const NodePlacement local = placed(kDgxA100, wanted);
  EXPECT_EQ(cpusets(local)[0], "48-51,176-179");
  EXPECT_EQ(local.node.layout, "strict");
  wanted.resources.cores_per_process.value = 12;
  const NodePlacement wide = placed(kThreeAndOne, wanted);
  EXPECT_EQ(wide.node.layout, "balanced");
  for (const RankPlacement& rank : wide.ranks) EXPECT_EQ(rank.core_count, 12);
  EXPECT_NEAR(wide.node.score.total, 96.1, 0.05);
}

TEST(GpuPlacement, SharesGpusAmongMoreRanksWithOneWarning) {
  const NodePlacement placement = placed({2, 1, 8, false, {0, 1}}, request(5));
  EXPECT_THAT(gpus(placement), ElementsAre("0", "0", "0", "1", "1"));
  EXPECT_TRUE(placement.ranks[4].shares_gpus);
  EXPECT_THAT(placement.ranks[1].why, HasSubstr("shares GPU 0 with local ranks 0,2"));
  EXPECT_THAT(placement.warnings,
              ElementsAre("5 ranks share 2 GPUs of node-a: set process_count_per_node to 2 for a "
                          "GPU each, or gpus_per_process to 0 if they need none"));
}

TEST(GpuPlacement, RefusesMoreGpusThanThereAreAndSaysWhatFits) {
  PlacementRequest wanted = request(8);
  wanted.resources.gpus_per_process = {1, from_line(7, 31, "…")};
  const Error error = refused(gpu_machine({2, 1, 8, false, {0, 0, 1, 1}}), wanted);
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_EQ(error.message,
            "cannot place 8 processes on node-a: 4 GPUs visible and gpus_per_process is 1");
  EXPECT_EQ(error.hint,
            "set process_count_per_node to 4, or gpus_per_process to 0 for a run on CPUs");
  EXPECT_EQ(error.location->line, 4);
}

TEST(GpuPlacement, TellsOfGpusWithoutARankOfTheirOwn) {
  const NodePlacement blocks = placed(kDgxH100, request(2));
  EXPECT_THAT(blocks.node.idle_gpus, IsEmpty());
  ASSERT_EQ(blocks.warnings.size(), 1U);
  EXPECT_THAT(blocks.warnings[0], HasSubstr("GPUs 2-7 of node-a have no rank of their own"));

  PlacementRequest wanted = request(2);
  wanted.resources.gpus_per_process.value = 1;
  const NodePlacement one_each = placed(kDgxH100, wanted);
  EXPECT_THAT(one_each.node.idle_gpus, ElementsAre(2, 3, 4, 5, 6, 7));
  EXPECT_THAT(reason(one_each, "GPUs on node-a"),
              HasSubstr("GPUs 2-7 of node-a have no rank: set process_count_per_node to 8"));
}

TEST(GpuPlacement, GivesOrdinalRanksTheGpuOfTheirNumber) {
  PlacementRequest wanted = request(2);
  wanted.resources.gpu_assignment.value = GpuAssignment::kOrdinal;
  wanted.resources.layout.value = CoreLayout::kStrict;
  const NodePlacement placement = placed(kNdA100, wanted);
  EXPECT_THAT(gpus(placement), ElementsAre("0", "1"));
  EXPECT_THAT(cpusets(placement), ElementsAre("24-35", "36-47"));
  EXPECT_THAT(placement.node.visible_devices, IsEmpty());
  wanted.resources.gpus_per_process.value = 2;
  EXPECT_EQ(refused(gpu_machine(kNdA100), wanted).code, ErrorCode::kConfig);
}

TEST(GpuPlacement, SpreadsRanksOverGpusBehindOnePermutation) {
  PlacementRequest wanted = request(2);
  wanted.resources.gpu_assignment.value = GpuAssignment::kSpread;
  const NodePlacement placement = placed({2, 1, 8, false, {0, 0, 1, 1}}, wanted);
  EXPECT_THAT(gpus(placement), ElementsAre("0", "2"));
  EXPECT_THAT(cpusets(placement), ElementsAre("0-7", "8-15"));
  EXPECT_THAT(placement.node.visible_devices, ElementsAre("GPU-0", "GPU-2", "GPU-1", "GPU-3"));
  wanted.process_count.value = 4;
  EXPECT_THAT(placed({2, 1, 8, false, {0, 0, 1, 1}}, wanted).node.visible_devices, IsEmpty());
}

TEST(GpuPlacement, LetsRanksOnMigInstancesSeeTheirOwnAlone) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 0, 1, 1}});
  for (auto& gpu : node.gpus) gpu.parent_uuid = "GPU-parent";
  EXPECT_EQ(placed(node, request(4)).node.gpu_visibility, config::GpuVisibility::kOwn);
  EXPECT_EQ(placed(node, request(1)).node.gpu_visibility, config::GpuVisibility::kAll);
  PlacementRequest all = request(4);
  all.resources.gpu_visibility = {config::GpuVisibility::kAll, from_line(5, 5, "…")};
  const NodePlacement asked = placed(node, all);
  EXPECT_EQ(asked.node.gpu_visibility, config::GpuVisibility::kAll);
  EXPECT_THAT(asked.warnings, ElementsAre(HasSubstr("MIG instances")));
}

TEST(GpuPlacement, GivesARankOneInstanceOrWholeGpusAndSaysWhatItCannotUse) {
  NodeInventory mixed = gpu_machine({2, 1, 8, false, {0, 1, 1}});
  mixed.gpus[1].parent_uuid = mixed.gpus[2].parent_uuid = "GPU-parent";
  const NodePlacement two = placed(mixed, request(2));
  EXPECT_THAT(gpus(two), ElementsAre("0", "2"));
  EXPECT_EQ(two.node.gpu_visibility, config::GpuVisibility::kOwn);
  EXPECT_LT(two.node.score.total, 100);
  EXPECT_THAT(
      two.warnings,
      ElementsAre("local rank 0 of node-a cannot use GPU 1 as well: CUDA gives a process one "
                  "MIG instance, and no whole GPU beside it; start a process for each "
                  "instance (process_count_per_node: 3)"));
  EXPECT_THAT(reason(two, "GPUs on node-a"),
              HasSubstr("GPU 1 of node-a has no rank: set process_count_per_node to 3"));
  EXPECT_THAT(gpus(placed(mixed, request(3))), ElementsAre("0", "1", "2"));
  EXPECT_THAT(placed(mixed, request(3)).warnings, IsEmpty());

  NodeInventory instances = gpu_machine({2, 1, 8, false, {0, 0, 1, 1}});
  for (auto& gpu : instances.gpus) gpu.parent_uuid = "GPU-parent";
  const NodePlacement one = placed(instances, request(1));
  EXPECT_THAT(gpus(one), ElementsAre("0"));
  EXPECT_THAT(one.warnings, ElementsAre(HasSubstr("cannot use GPUs 1-3 as well")));
  PlacementRequest pairs = request(2);
  pairs.resources.gpus_per_process.value = 2;
  const NodePlacement paired = placed(instances, pairs);
  EXPECT_THAT(gpus(paired), ElementsAre("0", "2"));
  EXPECT_THAT(paired.warnings, ElementsAre(HasSubstr("local ranks 0-1 of node-a cannot use")));
  EXPECT_THAT(reason(paired, "GPUs on node-a"),
              HasSubstr("leave out gpus_per_process and set process_count_per_node to 4"));
}

TEST(GpuPlacement, AdvisesNothingThatIsSoAlready) {
  PlacementRequest three = request(2);
  three.resources.gpus_per_process.value = 3;
  EXPECT_THAT(
      reason(placed(kDgxA100, three), "GPUs on node-a"),
      HasSubstr("GPUs 6-7 of node-a have no rank: leave out gpus_per_process, to use them"));

  PlacementRequest all_nodes = request(16);
  all_nodes.process_count.origin.kind = config::Origin::Kind::kDerived;
  EXPECT_THAT(placed(kDgxA100, all_nodes).warnings,
              ElementsAre(HasSubstr("16 ranks share 8 GPUs of node-a: start 8 processes in all")));

  PlacementRequest own = request(2);
  own.resources.gpu_visibility.value = config::GpuVisibility::kOwn;
  EXPECT_THAT(
      placed(kDgxA100, own).warnings,
      ElementsAre(HasSubstr("GPUs 1-3,5-7 of node-a are unused where each rank uses one GPU, "
                            "its first (cuda:0)")));
  EXPECT_THAT(placed({2, 1, 8, false, {0, 1}}, request(3)).ranks[0].why,
              HasSubstr("shares GPU 0 with local rank 1"));
}

TEST(GpuPlacement, RefusesCoresThatDoNotFitAndSaysWhatDoes) {
  PlacementRequest wanted = request(200);
  wanted.resources.cores_per_process = {1, from_line(6, 33, "…")};
  EXPECT_EQ(refused(gpu_machine(kDgxA100), wanted).hint,
            "set cores_per_process to auto, or set process_count_per_node to 128 or less");
  wanted = request(8);
  wanted.resources.cores_per_process = {20, from_line(6, 33, "…")};
  EXPECT_EQ(
      refused(gpu_machine(kDgxA100), wanted).hint,
      "set cores_per_process to 16 or less, or to auto, or set process_count_per_node to 6 or "
      "less");
  wanted.resources.cores_per_process.value = 12;
  wanted.resources.layout.value = CoreLayout::kStrict;
  const Error strict = refused(gpu_machine(kDgxA100), wanted);
  EXPECT_THAT(strict.message, HasSubstr("cores_per_process 12: NUMA 1,3,5,7"));
  EXPECT_EQ(strict.hint, "set cores_per_process to 8 or less, or layout to best or balanced");
}

TEST(GpuPlacement, PutsRanksNextToAGpuWhoseNumaNodeIsNotAllowedAndSaysSo) {
  NodeInventory node = gpu_machine({2, 2, 4, false, {0, 1, 2, 3}});
  disallow(node, {1, 3});
  const NodePlacement placement = placed(node, request(4));
  EXPECT_THAT(cpusets(placement), ElementsAre("0-1", "2-3", "8-9", "10-11"));
  EXPECT_EQ(placement.ranks[1].why, "remote: GPU 1 is on NUMA 1, of which no core is ours");
  EXPECT_DOUBLE_EQ(placement.ranks[1].locality, 0.7);
  EXPECT_THAT(memory(placement), ElementsAre("0", "0", "2", "2"));
  EXPECT_THAT(placement.warnings,
              ElementsAre("GPU 1 of node-a is on NUMA node 1, of which no core is allowed here: "
                          "local rank 1 is far from it",
                          "GPU 3 of node-a is on NUMA node 3, of which no core is allowed here: "
                          "local rank 3 is far from it"));
}

TEST(GpuPlacement, GuessesNothingWhereLocalityIsUnknown) {
  const NodePlacement placement =
      placed({2, 2, 4, false, {kUnknown, kUnknown, kUnknown, kUnknown}}, request(4));
  EXPECT_THAT(cpusets(placement), ElementsAre("0-3", "4-7", "8-11", "12-15"));
  for (const RankPlacement& rank : placement.ranks) {
    EXPECT_THAT(rank.memory_nodes, IsEmpty());
    EXPECT_EQ(rank.memory_policy, MemoryPolicy::kNone);
    EXPECT_DOUBLE_EQ(rank.locality, 0);
    EXPECT_THAT(rank.why, HasSubstr("nobody knows where GPU"));
  }
  EXPECT_THAT(reason(placement, "locality on node-a"), HasSubstr("unknown for GPUs 0-3"));
}

TEST(GpuPlacement, PutsARankWithoutAKnownPlaceWhereTheOthersLeaveRoom) {
  const NodePlacement placement = placed({2, 1, 8, false, {1, kUnknown}}, request(2));
  EXPECT_THAT(cpusets(placement), ElementsAre("8-15", "0-7"));
}

TEST(GpuPlacement, NeedsNoLocalityOnAMachineWithOneNumaNode) {
  const NodePlacement placement = placed({1, 1, 4, true, {kUnknown}}, request(2));
  EXPECT_THAT(cpusets(placement), ElementsAre("0-1,4-5", "2-3,6-7"));
  EXPECT_DOUBLE_EQ(placement.node.score.locality, 1);
  EXPECT_THAT(memory(placement), ElementsAre("0", "0"));
}

TEST(GpuPlacement, NeverNamesMemoryWithoutCpusOrThatIsNotAllowed) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 1}});
  node.numa_nodes.push_back({2, std::uint64_t{96} << 30, {}});  // a GPU's own memory
  node.numa_nodes[1].memory_allowed = false;
  EXPECT_THAT(memory(placed(node, request(2))), ElementsAre("0", ""));
}

TEST(GpuPlacement, NamesAllMemoryOfItsCoresToInterleave) {
  PlacementRequest wanted = request(2);
  wanted.resources.memory_policy.value = MemoryPolicy::kInterleave;
  const NodePlacement placement = placed(kDgxA100, wanted);
  EXPECT_THAT(memory(placement), ElementsAre("0-3", "4-7"));
  EXPECT_EQ(placement.ranks[0].memory_policy, MemoryPolicy::kInterleave);
}

TEST(GpuPlacement, BindsNobodyWhenThereAreMoreRanksThanCores) {
  const NodePlacement placement = placed({1, 1, 2, false, {0, 0, 0, 0}}, request(4));
  EXPECT_TRUE(placement.oversubscribed);
  EXPECT_EQ(placement.node.layout, "unbound");
  EXPECT_THAT(gpus(placement), ElementsAre("0", "1", "2", "3"));
  EXPECT_FALSE(placement.ranks[0].bound);
}

TEST(GpuPlacement, GivesEveryRankACoreWhenItsNumaNodeHasTooFew) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 0, 0, 0, 0, 0}});
  std::erase_if(node.cores, [](const auto& core) { return core.logical_index < 5; });
  const NodePlacement placement = placed(node, request(6));
  EXPECT_EQ(placement.node.layout, "even");
  for (const RankPlacement& rank : placement.ranks) EXPECT_GE(rank.core_count, 1);

  PlacementRequest strict = request(6);
  strict.resources.layout = {CoreLayout::kStrict, from_line(9, 3, "…")};
  const Error error = refused(node, strict);
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_THAT(error.message, HasSubstr("fewer cores than ranks that are at home there"));
}

TEST(GpuPlacement, TellsOfProcessesThatUseAGpuAlready) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 1}});
  node.gpus[1].processes = {{4711, "python3", std::uint64_t{12} << 30}};
  EXPECT_THAT(placed(node, request(2)).warnings,
              ElementsAre("GPU 1 of node-a (0000:01:00.0) is in use by process 4711 (python3) with "
                          "12.0 GiB, which is none of this run"));
}

TEST(GpuPlacement, DoesNotDependOnTheNumbersOfNumaNodes) {
  for (const MachineShape& shape : {kNdA100, kDgxA100, kThreeAndOne}) {
    const NodeInventory node = gpu_machine(shape);
    NodeInventory renumbered = node;
    const auto count = static_cast<int>(node.numa_nodes.size());
    const auto other = [&](int numa) { return 3 + 2 * ((numa * 5 + 1) % count); };
    for (auto& core : renumbered.cores) core.numa_node = other(core.numa_node);
    for (auto& gpu : renumbered.gpus) gpu.numa_node = other(gpu.numa_node);
    for (auto& numa : renumbered.numa_nodes) numa.os_index = other(numa.os_index);
    for (int n = 1; n <= 8; ++n) {
      EXPECT_EQ(cpusets(placed(node, request(n))), cpusets(placed(renumbered, request(n)))) << n;
    }
  }
}

// ---- network devices

TEST(NicChoice, GivesRanksThatShareAGpuItsDevices) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 0, 1, 1}});
  for (int i = 0; i < 8; ++i) node.nics.push_back(rdma_device("rdma" + std::to_string(i), i / 4));
  const NodePlacement placement = placed(node, request(5));
  EXPECT_THAT(gpus(placement), ElementsAre("0", "0", "1", "2", "3"));
  EXPECT_THAT(nics(placement), ElementsAre("rdma0+rdma1", "rdma0+rdma1", "rdma2+rdma3",
                                           "rdma4+rdma5", "rdma6+rdma7"));
  EXPECT_DOUBLE_EQ(placement.node.score.rail, 0.75);
  PlacementRequest spread = request(2);
  spread.resources.gpu_assignment.value = GpuAssignment::kSpread;
  EXPECT_THAT(nics(placed(node, spread)), ElementsAre("rdma0+rdma1", "rdma4+rdma5"));
}

TEST(NicChoice, GivesEachGpuTheDeviceOnItsSwitch) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 0, 1, 1}});
  for (int i = 0; i < 4; ++i) {  // 0, 1 → mlx5_0; 2, 3 → mlx5_1
    node.gpus[static_cast<std::size_t>(i)].upstream = {"0000:0" + std::to_string(i / 2) + ":01.0"};
  }
  node.nics = {rdma_device("mlx5_0", 0, {"0000:00:01.0"}),
               rdma_device("mlx5_1", 1, {"0000:01:01.0"})};
  const NodePlacement placement = placed(node, request(4));
  EXPECT_THAT(nics(placement), ElementsAre("mlx5_0", "mlx5_0", "mlx5_1", "mlx5_1"));
  EXPECT_DOUBLE_EQ(placement.node.score.rail, 1);
}

TEST(NicChoice, PairsByPositionInsideANumaNode) {
  NodeInventory node = gpu_machine(kNdA100);
  for (int i = 0; i < 8; ++i) {
    node.nics.push_back(
        rdma_device("mlx5_" + std::to_string(i), kNdA100.gpu_numa[static_cast<std::size_t>(i)]));
  }
  const NodePlacement placement = placed(node, request(8));
  EXPECT_EQ(nics(placement)[0], "mlx5_0");
  EXPECT_EQ(nics(placement)[5], "mlx5_5");
  EXPECT_EQ(nics(placement)[7], "mlx5_7");
  EXPECT_DOUBLE_EQ(placement.node.score.rail, 0.75);
  EXPECT_EQ(nics(placed(node, request(4)))[1], "mlx5_2+mlx5_3");
}

TEST(NicChoice, SharesOutSeveralForEachGpu) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 0, 1, 1}});
  for (int i = 0; i < 16; ++i) {
    node.nics.push_back(rdma_device("rdma" + std::to_string(i), i / 8));
  }
  const NodePlacement placement = placed(node, request(4));
  EXPECT_EQ(nics(placement)[1], "rdma4+rdma5+rdma6+rdma7");
  EXPECT_EQ(nics(placement)[3], "rdma12+rdma13+rdma14+rdma15");
}

TEST(NicChoice, SkipsWhatIsDownOrUnfitAndGoesFarWhenItMust) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {0, 1}});
  node.nics = {rdma_device("mlx5_0", 0), rdma_device("mlx5_1", 1), rdma_device("mlx5_2", 1)};
  node.nics[1].state = topology::LinkState::kDown;
  node.nics[2].unfit = "storage";
  const NodePlacement placement = placed(node, request(2));
  EXPECT_THAT(nics(placement), ElementsAre("mlx5_0", "mlx5_0"));
  EXPECT_NEAR(placement.node.score.rail, (0.75 + 0.1) / 2, 1e-9);
}

TEST(NicChoice, GuessesNoneWhereNobodyKnowsTheDistance) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {kUnknown, kUnknown}});
  node.nics = {rdma_device("mlx5_0", 0), rdma_device("mlx5_1", 1)};
  EXPECT_THAT(nics(placed(node, request(2))), ElementsAre("", ""));
  node.nics.pop_back();
  EXPECT_THAT(nics(placed(node, request(2))), ElementsAre("mlx5_0", "mlx5_0"));
}

TEST(NicChoice, GivesRanksWithoutGpusWhatIsNearTheirCores) {
  NodeInventory node = gpu_machine({2, 1, 8, false, {}});
  node.nics = {rdma_device("mlx5_0", 0), rdma_device("mlx5_1", 1)};
  EXPECT_THAT(nics(placed(node, request(4))), ElementsAre("mlx5_0", "mlx5_0", "mlx5_1", "mlx5_1"));
}

// ---- what other runs hold

TEST(HeldParts, AreAvoidedWhileEnoughIsFree) {
  PlacementRequest wanted = request(2);
  wanted.held = {{"run-1", 123, {0, 1, 2, 3}, {"GPU-0", "GPU-1"}}};
  const NodePlacement placement = placed({2, 1, 8, false, {0, 0, 1, 1}}, wanted);
  EXPECT_THAT(gpus(placement), ElementsAre("2", "3"));
  EXPECT_THAT(cpusets(placement), ElementsAre("8-11", "12-15"));
  EXPECT_THAT(placement.node.visible_devices, ElementsAre("GPU-2", "GPU-3"));
  EXPECT_THAT(placement.warnings, IsEmpty());
  EXPECT_EQ(reason(placement, "free GPUs on node-a"),
            "2-3 | run run-1 (process 123) has the others");
  EXPECT_EQ(reason(placement, "free cores on node-a"),
            "12 of 16 | run run-1 (process 123) has the others");
}

TEST(HeldParts, AreSharedWithAWarningWhenTooFewAreFree) {
  PlacementRequest wanted = request(2);
  wanted.held = {{"run-1", 123, gpu_machine({2, 1, 8, false, {}}).allowed, {"GPU-0", "GPU-1"}}};
  const NodePlacement placement = placed({2, 1, 8, false, {0, 1}}, wanted);
  EXPECT_THAT(cpusets(placement), ElementsAre("0-7", "8-15"));
  ASSERT_EQ(placement.warnings.size(), 2U);
  EXPECT_THAT(placement.warnings[0], HasSubstr("16 of 16 cores of node-a belong to run run-1"));
  EXPECT_THAT(placement.warnings[0], HasSubstr("set cores_per_process"));
  EXPECT_THAT(placement.warnings[1], HasSubstr("2 of 2 GPUs of node-a belong to run run-1"));
}

TEST(HeldParts, AreTheLastToBeShared) {
  PlacementRequest wanted = request(1);
  wanted.resources.gpus_per_process = {3, from_line(2, 1, "…")};
  wanted.resources.cores_per_process = {14, from_line(3, 1, "…")};
  wanted.held = {{"run-1", 123, {0, 1, 2, 3}, {"GPU-0", "GPU-1"}}};
  const NodePlacement placement = placed({2, 1, 8, false, {0, 0, 1, 1}}, wanted);
  EXPECT_THAT(gpus(placement), ElementsAre("1-3"));
  EXPECT_THAT(cpusets(placement), ElementsAre("2-15"));
  ASSERT_EQ(placement.warnings.size(), 2U);
  EXPECT_THAT(placement.warnings[1], HasSubstr("GPU 1 is shared"));
}

TEST(HeldParts, AreLeftToOthersAlready) {
  PlacementRequest wanted = request(1);
  wanted.resources.reserve_cores = {1, from_line(2, 1, "…")};
  wanted.resources.cores_per_process = {1, from_line(3, 1, "…")};
  wanted.held = {{"run-1", 123, {0}, {}}};
  const NodePlacement placement = placed({1, 1, 2, false, {}}, wanted);
  EXPECT_THAT(cpusets(placement), ElementsAre("1"));
  EXPECT_THAT(placement.warnings, IsEmpty());
  EXPECT_EQ(reason(placement, "reserve_cores on node-a"),
            "1 | run.yaml:2:1: CPUs 0 are left to others");
}

// ---- rank_map

config::RankMapEntry entry(const std::string& cpus) {
  config::RankMapEntry entry;
  entry.origin = from_line(12, 5, "…");
  if (!cpus.empty()) entry.cpus = {cpus, from_line(12, 12, "…")};
  return entry;
}

TEST(RankMap, GivesWhatAnotherRunHasWithAWarning) {
  PlacementRequest wanted = request(2);
  wanted.held = {{"run-1", 123, {0, 1, 2, 3}, {"GPU-0"}}};
  wanted.resources.rank_map = {entry("8-9"), entry("0-1")};
  wanted.resources.rank_map[0].gpus = {{0}, from_line(12, 20, "…")};
  const NodePlacement placement = placed({2, 1, 8, false, {0, 1, 1}}, wanted);
  EXPECT_THAT(cpusets(placement), ElementsAre("8-9", "0-1"));
  EXPECT_THAT(gpus(placement), ElementsAre("0", "1-2"));
  EXPECT_THAT(placement.node.visible_devices, IsEmpty()) << "GPU 0 must be seen";
  ASSERT_EQ(placement.warnings.size(), 2U);
  EXPECT_THAT(placement.warnings[0],
              HasSubstr("rank_map gives CPUs 0-1 of node-a to this run, and run run-1 (process "
                        "123) has these cores"));
  EXPECT_THAT(placement.warnings[1], HasSubstr("rank_map gives GPU 0 of node-a to this run"));
}

TEST(RankMap, LeavesACoreThatAnotherRunHasWhenNoOtherIsLeft) {
  PlacementRequest wanted = request(2);
  wanted.held = {{"run-1", 123, {0}, {}}};
  wanted.resources.rank_map = {entry("1"), entry("")};
  const NodePlacement placement = placed({1, 1, 2, false, {}}, wanted);
  EXPECT_THAT(cpusets(placement), ElementsAre("1", "0"));
  EXPECT_EQ(placement.warnings.size(), 1U);
}

TEST(RankMap, WinsWordForWord) {
  PlacementRequest wanted = request(2);
  wanted.resources.rank_map = {entry("8-9"), entry("0-3")};
  wanted.resources.rank_map[0].gpus = {{1}, from_line(12, 20, "…")};
  wanted.resources.rank_map[0].memory_nodes = {"0", from_line(12, 30, "…")};
  wanted.resources.rank_map[1].gpus = {{}, from_line(13, 20, "…")};
  const NodePlacement placement = placed({2, 1, 8, false, {0, 1}}, wanted);
  EXPECT_THAT(cpusets(placement), ElementsAre("8-9", "0-3"));
  EXPECT_THAT(gpus(placement), ElementsAre("1", ""));
  EXPECT_THAT(memory(placement), ElementsAre("0", "0"));
  EXPECT_EQ(placement.node.layout, "rank_map");
  EXPECT_EQ(placement.ranks[1].why, "rank_map (run.yaml:12:5)");
  EXPECT_THAT(placement.node.idle_gpus, ElementsAre(0));
}

TEST(RankMap, LeavesTheRestToTheOthers) {
  PlacementRequest wanted = request(3);
  wanted.resources.rank_map = {entry("0-3"), entry(""), entry("")};
  wanted.resources.rank_map[0].gpus = {{2}, from_line(12, 20, "…")};
  const NodePlacement placement = placed({2, 1, 8, false, {0, 1, 1}}, wanted);
  EXPECT_THAT(gpus(placement), ElementsAre("2", "0", "1"));
  EXPECT_THAT(cpusets(placement), ElementsAre("0-3", "4-7", "8-15"));
}

TEST(RankMap, IsCheckedAgainstTheNode) {
  const NodeInventory node = gpu_machine({2, 1, 8, false, {0, 1}});
  PlacementRequest wanted = request(1);
  wanted.resources.rank_map = {entry("14-17")};
  const Error outside = refused(node, wanted);
  EXPECT_EQ(outside.message,
            "cannot place local rank 0 on node-a as rank_map has it: CPUs 16-17 may not be used "
            "here");
  EXPECT_EQ(outside.location->column, 12);
  wanted.resources.rank_map = {entry("0")};
  wanted.resources.rank_map[0].gpus = {{2}, from_line(12, 20, "…")};
  EXPECT_THAT(refused(node, wanted).hint, HasSubstr("numbered 0 to 1"));
  wanted.resources.rank_map = {entry("0"), entry("1")};
  EXPECT_EQ(refused(node, wanted).code, ErrorCode::kConfig);
}

TEST(RankMap, MayOverlapWithAWarning) {
  PlacementRequest wanted = request(2);
  wanted.resources.rank_map = {entry("0-3"), entry("3-5")};
  EXPECT_THAT(placed({2, 1, 8, false, {}}, wanted).warnings,
              ElementsAre("rank_map gives CPUs 3 of node-a to local ranks 0 and 1"));
}

TEST(RankMap, TellsOfAThreadThatTwoRanksHaveOnce) {
  PlacementRequest wanted = request(2);
  wanted.resources.rank_map = {entry("0-3"), entry("2-7")};
  const NodeInventory threads = gpu_machine({1, 1, 8, true, {}});
  EXPECT_THAT(placed(threads, wanted).warnings,
              ElementsAre("rank_map gives CPUs 2-3 of node-a to local ranks 0 and 1"));
  wanted.resources.rank_map = {entry("0"), entry("8")};
  EXPECT_THAT(placed(threads, wanted).warnings, ElementsAre(HasSubstr("divides a core of node-a")));
}

TEST(RankMap, TellsWhatHasNoEffectBesideIt) {
  PlacementRequest wanted = request(2);
  wanted.resources.rank_map = {entry("0-3"), entry("4-7")};
  wanted.resources.reserve_cores = {8, from_line(6, 3, "…")};
  wanted.resources.cores_per_process = {2, from_line(7, 3, "…")};
  const NodePlacement placement = placed({2, 1, 8, false, {}}, wanted);
  EXPECT_THAT(placement.warnings,
              ElementsAre("rank_map gives every local rank of node-a its own: cores_per_process "
                          "(run.yaml:7:3) and reserve_cores (run.yaml:6:3) have no effect; leave "
                          "them out"));
  EXPECT_EQ(reason(placement, "reserve_cores on node-a"), "");
}

// ---- score of layouts that are not ours

TEST(Score, KnowsSharedCoresAndLostGpus) {
  const NodeInventory node = gpu_machine({2, 1, 8, false, {0, 1}});
  RankPlacement rank;
  rank.cpuset = node.allowed;
  const PlacementScore nothing_assigned = score_of(node, {rank, rank});
  EXPECT_DOUBLE_EQ(nothing_assigned.coverage, 0);
  EXPECT_DOUBLE_EQ(nothing_assigned.locality, 0);
  EXPECT_DOUBLE_EQ(nothing_assigned.exclusive, 0);
  EXPECT_DOUBLE_EQ(nothing_assigned.balance, 1);
  EXPECT_DOUBLE_EQ(nothing_assigned.total, 25);

  RankPlacement first;
  first.cpuset = {0};
  first.gpus = {node.gpus[1]};
  RankPlacement second;
  second.cpuset = {8, 9};
  second.gpus = {node.gpus[0]};
  const PlacementScore swapped = score_of(node, {first, second});
  EXPECT_DOUBLE_EQ(swapped.order, 0);
  EXPECT_DOUBLE_EQ(swapped.balance, 0.5);
  EXPECT_DOUBLE_EQ(swapped.locality, 0);
  EXPECT_NEAR(swapped.use, 3.0 / 16, 1e-9);
}

TEST(Score, SeesSiblingsApart) {
  const NodeInventory node = gpu_machine({1, 1, 2, true, {}});
  RankPlacement first;
  first.cpuset = {0};
  RankPlacement second;
  second.cpuset = {1, 2};
  EXPECT_DOUBLE_EQ(score_of(node, {first, second}, 0).siblings, 0.5);
}

}  // namespace
}  // namespace muster::plan
