// What must hold on every machine of tests/data/topologies, for every process count.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "launcher/plan/placement.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using topology::Core;
using topology::NodeInventory;

class PlacementInvariants : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    node_ = machine(GetParam());
    for (const Core& core : node_.cores) {
      ++cores_of_numa_[core.numa_node];
      for (const int pu : core.pus.to_vector()) core_of_pu_[pu] = &core;
    }
    for (const auto& [numa, count] : cores_of_numa_) sizes_.insert(count);
  }

  int core_count() const { return static_cast<int>(node_.cores.size()); }
  int numa_count() const { return static_cast<int>(cores_of_numa_.size()); }

  NodePlacement placed(int processes) const {
    PlacementRequest request;
    request.process_count.value = processes;
    auto placement = place(node_, request);
    EXPECT_TRUE(placement) << placement.error().message;
    return placement ? *placement : NodePlacement{};
  }

  std::set<int> numa_nodes_of(const RankPlacement& rank) const {
    std::set<int> nodes;
    for (const int pu : rank.cpuset.to_vector()) nodes.insert(core_of_pu_.at(pu)->numa_node);
    return nodes;
  }

  // Every allowed hardware thread in one rank, those of a core together; nothing else in any.
  void expect_cores_dealt_once(const NodePlacement& placement) const {
    std::map<int, int> rank_of_pu;
    int cores = 0;
    for (const RankPlacement& rank : placement.ranks) {
      EXPECT_TRUE(rank.bound);
      cores += rank.core_count;
      for (const int pu : rank.cpuset.to_vector()) {
        EXPECT_TRUE(rank_of_pu.emplace(pu, rank.rank).second) << "CPU " << pu << " in two ranks";
      }
    }
    EXPECT_EQ(cores, core_count());
    EXPECT_EQ(static_cast<int>(rank_of_pu.size()), node_.allowed.count());
    for (const auto& [pu, rank] : rank_of_pu) {
      const int first_sibling = core_of_pu_.at(pu)->pus.to_vector().front();
      EXPECT_EQ(rank, rank_of_pu.at(first_sibling)) << "CPU " << pu << " apart from its sibling";
    }
  }

  static int spread_of_counts(const NodePlacement& placement) {
    const auto [fewest, most] = std::minmax_element(
        placement.ranks.begin(), placement.ranks.end(),
        [](const auto& a, const auto& b) { return a.core_count < b.core_count; });
    return most->core_count - fewest->core_count;
  }

  int most_numa_nodes(const NodePlacement& placement) const {
    std::size_t most = 0;
    for (const RankPlacement& rank : placement.ranks) {
      most = std::max(most, numa_nodes_of(rank).size());
    }
    return static_cast<int>(most);
  }

  NodeInventory node_;
  std::map<int, int> cores_of_numa_;
  std::map<int, const Core*> core_of_pu_;
  std::set<int> sizes_;  // of NUMA nodes, in cores; one element: all are equal
};

TEST_P(PlacementInvariants, RanksAreNumberedOnceInOrder) {
  for (int n = 1; n <= 2 * core_count(); ++n) {
    const NodePlacement placement = placed(n);
    ASSERT_EQ(placement.ranks.size(), static_cast<std::size_t>(n));
    for (int rank = 0; rank < n; ++rank) {
      EXPECT_EQ(placement.ranks[static_cast<std::size_t>(rank)].rank, rank);
      EXPECT_EQ(placement.ranks[static_cast<std::size_t>(rank)].local_rank, rank);
    }
  }
}

TEST_P(PlacementInvariants, EveryCoreBelongsToOneRankUnlessOversubscribed) {
  for (int n = 1; n <= core_count(); ++n) {
    SCOPED_TRACE(n);
    expect_cores_dealt_once(placed(n));
  }
}

TEST_P(PlacementInvariants, MoreRanksThanCoresAreAllUnboundWithOneWarning) {
  for (int n = core_count() + 1; n <= 2 * core_count(); ++n) {
    const NodePlacement placement = placed(n);
    EXPECT_TRUE(placement.oversubscribed);
    EXPECT_EQ(placement.warnings.size(), 1U);
    for (const RankPlacement& rank : placement.ranks) {
      EXPECT_FALSE(rank.bound);
      EXPECT_EQ(rank.cpuset, node_.allowed);
    }
  }
}

TEST_P(PlacementInvariants, RanksFollowTheOrderOfNumaNodes) {
  for (int n = 1; n <= core_count(); ++n) {
    int last = -1;
    for (const RankPlacement& rank : placed(n).ranks) {
      const std::set<int> nodes = numa_nodes_of(rank);
      EXPECT_GE(*nodes.begin(), last) << n << " processes, rank " << rank.rank;
      last = *nodes.rbegin();
    }
  }
}

TEST_P(PlacementInvariants, RanksThatDivideEqualNumaNodesAreLocalAndEqual) {
  if (sizes_.size() != 1) GTEST_SKIP() << "its NUMA nodes differ in size";
  for (int n = numa_count(); n <= core_count(); n += numa_count()) {
    const NodePlacement placement = placed(n);
    EXPECT_LE(spread_of_counts(placement), 1) << n << " processes";
    EXPECT_EQ(most_numa_nodes(placement), 1) << n << " processes";
    std::map<int, int> ranks_of_numa;
    for (const RankPlacement& rank : placement.ranks) {
      ++ranks_of_numa[*numa_nodes_of(rank).begin()];
    }
    for (const auto& [numa, count] : ranks_of_numa) EXPECT_EQ(count, n / numa_count());
  }
}

TEST_P(PlacementInvariants, RanksThatNumaNodesDivideGetWholeOnes) {
  if (sizes_.size() != 1) GTEST_SKIP() << "its NUMA nodes differ in size";
  for (int n = 1; n <= numa_count(); ++n) {
    if (numa_count() % n != 0) continue;
    const NodePlacement placement = placed(n);
    EXPECT_EQ(spread_of_counts(placement), 0) << n << " processes";
    EXPECT_EQ(most_numa_nodes(placement), numa_count() / n) << n << " processes";
  }
}

TEST_P(PlacementInvariants, SharesAreEvenUnlessThatKeepsEveryRankLocal) {
  for (int n = numa_count(); n <= core_count(); ++n) {
    const NodePlacement placement = placed(n);
    EXPECT_TRUE(spread_of_counts(placement) <= 1 || most_numa_nodes(placement) == 1)
        << n << " processes";
  }
}

TEST_P(PlacementInvariants, MemoryIsThatOfTheRanksCores) {
  for (int n = 1; n <= core_count(); ++n) {
    for (const RankPlacement& rank : placed(n).ranks) {
      const std::set<int> memory(rank.memory_nodes.begin(), rank.memory_nodes.end());
      EXPECT_EQ(memory, numa_nodes_of(rank)) << n << " processes, rank " << rank.rank;
    }
  }
}

TEST_P(PlacementInvariants, TheSameRequestGetsTheSameAnswer) {
  for (int n = 1; n <= 2 * core_count(); ++n) {
    const NodePlacement first = placed(n);
    const NodePlacement second = placed(n);
    for (std::size_t i = 0; i < first.ranks.size(); ++i) {
      EXPECT_EQ(first.ranks[i].cpuset, second.ranks[i].cpuset);
    }
  }
}

TEST_P(PlacementInvariants, FixedSharesAreExactAndDisjoint) {
  for (int n = 1; n <= core_count(); ++n) {
    PlacementRequest request;
    request.process_count.value = n;
    request.resources.cores_per_process.value = core_count() / n;
    const auto placement = place(node_, request);
    ASSERT_TRUE(placement) << placement.error().message;
    std::set<int> dealt;
    for (const RankPlacement& rank : placement->ranks) {
      EXPECT_EQ(rank.core_count, core_count() / n);
      for (const int pu : rank.cpuset.to_vector()) {
        EXPECT_TRUE(dealt.insert(pu).second) << "CPU " << pu << " in two ranks";
        EXPECT_TRUE(node_.allowed.contains(pu));
      }
    }
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& machine) {
  std::string name = machine.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(EveryMachine, PlacementInvariants, ::testing::ValuesIn(all_machines()),
                         test_name);

}  // namespace
}  // namespace muster::plan
