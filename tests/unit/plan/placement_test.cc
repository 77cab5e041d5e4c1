#include "launcher/plan/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

PlacementRequest request(int processes) {
  PlacementRequest request;
  request.process_count = {processes, from_line(4, 25, "process_count_per_node: …")};
  return request;
}

PlacementRequest request(int processes, int cores_per_process) {
  PlacementRequest with_cores = request(processes);
  with_cores.resources.cores_per_process = {cores_per_process,
                                            from_line(6, 33, "cores_per_process: …")};
  return with_cores;
}

NodePlacement placed(const topology::NodeInventory& node, const PlacementRequest& wanted) {
  auto placement = place(node, wanted);
  EXPECT_TRUE(placement) << placement.error().message;
  return placement ? *placement : NodePlacement{};
}

std::vector<std::string> cpusets(const topology::NodeInventory& node,
                                 const PlacementRequest& wanted) {
  std::vector<std::string> sets;
  for (const RankPlacement& rank : placed(node, wanted).ranks) {
    sets.push_back(rank.cpuset.to_string());
  }
  return sets;
}

std::vector<std::string> cpusets(const std::string& name, const PlacementRequest& wanted) {
  return cpusets(machine(name), wanted);
}

// Cores 0..n-1 with one hardware thread each, on the NUMA nodes given.
topology::NodeInventory flat_machine(const std::vector<int>& numa_of_core) {
  topology::NodeInventory node;
  node.hostname = "flat";
  for (std::size_t i = 0; i < numa_of_core.size(); ++i) {
    const int cpu = static_cast<int>(i);
    node.cores.push_back({cpu, topology::kUnknown, numa_of_core[i], topology::kUnknown, {cpu}});
    node.allowed.insert(cpu);
  }
  node.present = node.allowed;
  return node;
}

TEST(Placement, GivesOneRankEverything) {
  const NodePlacement placement = placed(machine("server-2x16"), request(1));
  ASSERT_EQ(placement.ranks.size(), 1U);
  EXPECT_EQ(placement.ranks[0].cpuset.to_string(), "0-31");
  EXPECT_EQ(placement.ranks[0].core_count, 32);
  EXPECT_THAT(placement.ranks[0].memory_nodes, ElementsAre(0, 1));
}

TEST(Placement, KeepsEachRankInsideOneNumaNode) {
  EXPECT_THAT(cpusets("server-2x16", request(4)), ElementsAre("0-7", "8-15", "16-23", "24-31"));
}

TEST(Placement, GivesSiblingsToTheirCoresRank) {
  EXPECT_THAT(cpusets("laptop-4c8t", request(2)), ElementsAre("0-1,4-5", "2-3,6-7"));
}

TEST(Placement, GivesTheRemainderToTheLowestRanks) {
  EXPECT_THAT(cpusets("laptop-4c8t", request(3)), ElementsAre("0-1,4-5", "2,6", "3,7"));
}

TEST(Placement, FillsWholeL3CachesWhenSharesDivide) {
  const auto sets = cpusets("numa-4x6", request(8));  // an L3 cache has 3 cores
  EXPECT_THAT(sets, ElementsAre("0-2", "3-5", "6-8", "9-11", "12-14", "15-17", "18-20", "21-23"));
}

TEST(Placement, SpreadsOverNumaNodesBeforeAnyIsFilledTwice) {
  EXPECT_THAT(cpusets("numa-4x6", request(4, 1)), ElementsAre("0", "6", "12", "18"));
  EXPECT_THAT(cpusets("numa-4x6", request(5, 2)),
              ElementsAre("0-1", "2-3", "6-7", "12-13", "18-19"));
}

TEST(Placement, SpreadsOverPackagesFirst) {
  EXPECT_THAT(cpusets("numa-4x6", request(2, 6)), ElementsAre("0-5", "12-17"));
}

TEST(Placement, GivesWholeNeighbouringNumaNodesToARankThatNeedsSeveral) {
  const NodePlacement placement = placed(machine("numa-4x6"), request(2));
  EXPECT_EQ(placement.ranks[0].cpuset.to_string(), "0-11");
  EXPECT_EQ(placement.ranks[1].cpuset.to_string(), "12-23");
  EXPECT_THAT(placement.ranks[1].memory_nodes, ElementsAre(2, 3));
}

TEST(Placement, PrefersUnevenLocalSharesOverACutAcrossPackages) {
  EXPECT_THAT(cpusets("server-2x16", request(3)), ElementsAre("0-7", "8-15", "16-31"));
  const NodePlacement placement = placed(machine("server-2x16"), request(3));
  EXPECT_EQ(placement.reasons.at(0).value, "8 to 16 cores per rank");
  EXPECT_THAT(placement.reasons.at(0).why, HasSubstr("scored 92.5 of 100, against 85"));
}

TEST(Placement, UsesExactlyTheCoresPerProcessThatAreAsked) {
  const NodePlacement placement = placed(machine("dgx-a100-8x16"), request(8, 3));
  EXPECT_EQ(placement.ranks[7].core_count, 3);
  EXPECT_EQ(placement.ranks[7].cpuset.to_string(), "112-114,240-242");
}

TEST(Placement, SpansNumaNodesWithWhatIsLeftWhenFixedSharesCannotAllBeLocal) {
  EXPECT_THAT(cpusets("odd-3x5", request(7, 2)),
              ElementsAre("0-1", "2-3", "4-5", "6-7", "8-9", "10-11", "12-13"));
}

TEST(Placement, UsesOnlyAllowedThreads) {
  EXPECT_THAT(cpusets("cpuset-2x4", request(2)), ElementsAre("1-2,9-10", "13-15"));
}

TEST(Placement, NeverPrefersMemoryOfANodeWithoutCpus) {
  for (const RankPlacement& rank : placed(machine("cpuless-numa"), request(2)).ranks) {
    EXPECT_THAT(rank.memory_nodes, ElementsAre(0));
  }
}

TEST(Placement, UsesTheKernelsNumaNumbers) {
  EXPECT_THAT(placed(machine("sparse-ids"), request(2)).ranks[1].memory_nodes, ElementsAre(8));
}

TEST(Placement, GuessesNoMemoryWhenTheNumaNodeIsUnknown) {
  using topology::kUnknown;
  const NodePlacement placement =
      placed(flat_machine({kUnknown, kUnknown, kUnknown, kUnknown}), request(2));
  EXPECT_TRUE(placement.ranks[0].memory_nodes.empty());
  EXPECT_EQ(placement.ranks[1].cpuset.to_string(), "2-3");
  EXPECT_EQ(placement.reasons.back().why,
            "the NUMA node of some cores is unknown; none is guessed");
}

TEST(Placement, NumbersRanksByTheFirstCoresOfTheirNumaNodes) {
  EXPECT_THAT(cpusets(flat_machine({1, 0, 1, 0}), request(2)), ElementsAre("0,2", "1,3"));
}

TEST(Placement, UsesASmallNumaNodeWithoutStarvingItsRank) {
  const auto sets = cpusets(flat_machine({0, 0, 0, 0, 0, 0, 0, 0, 1}), request(2));
  EXPECT_THAT(sets, ElementsAre("0-4", "5-8"));
}

TEST(Placement, LeavesRanksUnboundWhenThereAreMoreThanCores) {
  const NodePlacement placement = placed(machine("cpuset-2x4"), request(6));
  EXPECT_TRUE(placement.oversubscribed);
  ASSERT_EQ(placement.ranks.size(), 6U);
  for (const RankPlacement& rank : placement.ranks) {
    EXPECT_FALSE(rank.bound);
    EXPECT_EQ(rank.core_count, 0);
    EXPECT_EQ(rank.cpuset.to_string(), "1-2,9-10,13-15");
    EXPECT_TRUE(rank.memory_nodes.empty());
  }
  EXPECT_THAT(
      placement.warnings,
      ElementsAre("6 ranks share 5 cores of cpuset-2x4: they are not bound, and will be slow"));
}

TEST(Placement, RefusesMoreRanksThanCoresWhenOversubscribeIsNever) {
  PlacementRequest wanted = request(2);
  wanted.resources.oversubscribe.value = config::Oversubscribe::kNever;
  const auto placement = place(machine("single-core"), wanted);
  ASSERT_FALSE(placement);
  EXPECT_EQ(placement.error().code, ErrorCode::kResources);
  EXPECT_EQ(placement.error().message,
            "cannot place 2 processes on single-core: 1 core allowed and oversubscribe is never");
  EXPECT_EQ(placement.error().hint,
            "set process_count_per_node to 1 or less, or oversubscribe to allow");
  EXPECT_EQ(placement.error().location->line, 4);
}

TEST(Placement, RefusesMoreCoresThanThereAre) {
  const auto placement = place(machine("laptop-4c8t"), request(2, 3));
  ASSERT_FALSE(placement);
  EXPECT_EQ(placement.error().code, ErrorCode::kResources);
  EXPECT_EQ(placement.error().message,
            "cannot place 2 processes on laptop-4c8t: cores_per_process is 3, which needs 6 cores, "
            "and 4 are allowed");
  EXPECT_EQ(placement.error().hint,
            "set cores_per_process to 2 or less, or to auto, or set process_count_per_node to 1");
  EXPECT_EQ(placement.error().location->line, 6);
}

}  // namespace
}  // namespace muster::plan
