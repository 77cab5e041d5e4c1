// What placement makes of real machines: the answers that were worked out beforehand (the
// `expected` rows of tests/data/machines), and for every process count a reviewed golden file.
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "launcher/plan/placement.h"
#include "tests/support/machines.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using topology::NodeInventory;

Result<NodePlacement> placed(const NodeInventory& node, int processes,
                             config::CoreLayout layout = config::CoreLayout::kBest) {
  PlacementRequest request;
  request.process_count.value = processes;
  request.resources.layout.value = layout;
  return place(node, request);
}

class ExpectedPlacements : public ::testing::TestWithParam<std::string> {};

TEST_P(ExpectedPlacements, AreWhatComesOut) {
  const DescribedMachine machine = described(GetParam());
  for (const ExpectedPlacement& row : machine.expected) {
    SCOPED_TRACE(fmt::format("{} processes", row.processes));
    const auto placement = placed(machine.inventory, row.processes);
    ASSERT_TRUE(placement) << placement.error().message;
    ASSERT_EQ(placement->ranks.size(), row.cpus.size());
    for (std::size_t rank = 0; rank < row.cpus.size(); ++rank) {
      const RankPlacement& got = placement->ranks[rank];
      EXPECT_EQ(got.cpuset.to_string(), row.cpus[rank]) << "rank " << rank;
      if (row.memory) {
        EXPECT_EQ(got.memory_nodes, (*row.memory)[rank]) << "rank " << rank;
      }
      if (row.nics) {
        EXPECT_EQ(got.nics, (*row.nics)[rank]) << "rank " << rank;
      }
    }
    const PlacementScore& score = placement->node.score;
    EXPECT_NEAR(score.total, row.score, 0.06);  // 93.25 is 93.2 or 93.3
    if (!row.layout.empty()) {
      EXPECT_EQ(placement->node.layout, row.layout);
    }
    EXPECT_EQ(score.siblings, 1);
    EXPECT_EQ(score.order, 1);
    if (row.score == 100) {
      EXPECT_EQ(score.memory, 1);
    }
  }
}

// The same through hwloc's file: what `muster plan --topology` shows.
TEST_P(ExpectedPlacements, AreTheSameFromTheHwlocFile) {
  const NodeInventory found = machine(GetParam());
  for (const ExpectedPlacement& row : described(GetParam()).expected) {
    const auto placement = placed(found, row.processes);
    ASSERT_TRUE(placement) << placement.error().message;
    for (std::size_t rank = 0; rank < row.cpus.size(); ++rank) {
      EXPECT_EQ(placement->ranks[rank].cpuset.to_string(), row.cpus[rank])
          << row.processes << " processes, rank " << rank;
      if (row.nics) {
        EXPECT_EQ(placement->ranks[rank].nics, (*row.nics)[rank])
            << row.processes << " processes, rank " << rank;
      }
    }
  }
}

struct Forced {
  const char* machine;
  int processes;
  config::CoreLayout layout;
  double score;
  std::vector<int> cores;  // of each rank
};

// The layouts that were not the best, and their scores.
TEST(ForcedLayouts, ScoreAsWorkedOutBeforehand) {
  using config::CoreLayout;
  const std::vector<Forced> rows = {
      {"dgx-a100", 4, CoreLayout::kSpill, 93.25, {32, 32, 32, 32}},
      {"dgx-a100", 8, CoreLayout::kSpill, 93.25, {16, 16, 16, 16, 16, 16, 16, 16}},
      {"hgx-h100-snc2", 4, CoreLayout::kStrict, 92.5, {16, 32, 16, 32}},
      {"hgx-h100-snc2", 8, CoreLayout::kStrict, 90, {8, 8, 8, 24, 8, 8, 8, 24}},
  };
  for (const Forced& row : rows) {
    SCOPED_TRACE(fmt::format("{}, {} processes", row.machine, row.processes));
    const auto placement = placed(described(row.machine).inventory, row.processes, row.layout);
    ASSERT_TRUE(placement) << placement.error().message;
    EXPECT_NEAR(placement->node.score.total, row.score, 0.06);
    std::vector<int> cores;
    for (const RankPlacement& rank : placement->ranks) cores.push_back(rank.core_count);
    EXPECT_EQ(cores, row.cores);
  }
}

// So that a half is rounded up whatever the last bit of the sum.
constexpr double kHalfUp = 1e-6;

// A line for the node, then one for each rank.
std::string golden_text(const DescribedMachine& machine) {
  std::string text = fmt::format("{}: {}\n", machine.name, machine.title);
  for (const int processes : {1, 2, 3, 4, 5, 6, 7, 8, 16}) {
    const auto placement = placed(machine.inventory, processes);
    if (!placement) {
      text += fmt::format("\n{}: {}\n", processes, placement.error().message);
      continue;
    }
    const PlacementScore& s = placement->node.score;
    text += fmt::format(
        "\n{}: {} {:.1f}  L {:.2f} X {:.2f} B {:.2f} U {:.2f} G {:.2f}  M {:.2f} S {:.2f} R {:.2f} "
        "O "
        "{:.0f}\n",
        processes, placement->node.layout, s.total + kHalfUp, s.locality + kHalfUp,
        s.exclusive + kHalfUp, s.balance + kHalfUp, s.use + kHalfUp, s.coverage + kHalfUp,
        s.memory + kHalfUp, s.siblings + kHalfUp, s.rail + kHalfUp, s.order);
    for (const RankPlacement& rank : placement->ranks) {
      std::vector<int> gpus;
      for (const topology::Gpu& gpu : rank.gpus) gpus.push_back(gpu.visible_ordinal);
      text += fmt::format(
          "  {:>2}  cpus {}  memory {}  gpus {}  nics {}{}\n", rank.local_rank,
          rank.cpuset.to_string(),
          rank.memory_nodes.empty() ? "any" : fmt::format("{}", fmt::join(rank.memory_nodes, ",")),
          gpus.empty() ? "none" : fmt::format("{}", fmt::join(gpus, ",")),
          rank.nics.empty() ? "none" : fmt::format("{}", fmt::join(rank.nics, ",")),
          rank.bound ? "" : "  unbound");
    }
  }
  return text;
}

class GoldenPlacements : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenPlacements, AreWhatWasReviewed) {
  const std::string text = golden_text(described(GetParam()));
  const std::string path =
      std::string(MUSTER_SOURCE_DIRECTORY) + "/tests/golden/machines/" + GetParam() + ".txt";
  if (std::getenv("MUSTER_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  const auto reviewed = read_file(path);
  ASSERT_TRUE(reviewed) << reviewed.error().message;
  EXPECT_EQ(text, *reviewed) << "MUSTER_UPDATE_GOLDEN=1 rewrites " << path;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& machine) {
  std::string name = machine.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Each, ExpectedPlacements,
                         ::testing::ValuesIn(machines_with_expected_rows()), test_name);
INSTANTIATE_TEST_SUITE_P(Each, GoldenPlacements, ::testing::ValuesIn(described_machines()),
                         test_name);

}  // namespace
}  // namespace muster::plan
