// The rules of tests/support/baselines.cc give the answers that their programs gave, and Muster's
// placement is never below the best of them, with the ranks in the order of their GPUs.
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "launcher/plan/placement.h"
#include "launcher/plan/placement_score.h"
#include "tests/support/baselines.h"
#include "tests/support/machines.h"

namespace muster::plan {
namespace {

using topology::NodeInventory;

NodePlacement placed(const NodeInventory& node, int processes) {
  PlacementRequest request;
  request.process_count.value = processes;
  auto placement = place(node, request);
  EXPECT_TRUE(placement) << placement.error().message;
  return placement ? *placement : NodePlacement{};
}

std::vector<std::string> cpus_of(const std::vector<RankPlacement>& ranks) {
  std::vector<std::string> lists;
  for (const RankPlacement& rank : ranks) lists.push_back(rank.cpuset.to_string());
  return lists;
}

std::vector<std::string> gpus_of(const std::vector<RankPlacement>& ranks) {
  std::vector<std::string> lists;
  for (const RankPlacement& rank : ranks) {
    std::string list;
    for (const topology::Gpu& gpu : rank.gpus) {
      list += (list.empty() ? "" : ",") + std::to_string(gpu.visible_ordinal);
    }
    lists.push_back(list);
  }
  return lists;
}

using Lists = std::vector<std::string>;

// What mpibind's own tests expect, and what it answered when it was run on files like ours.
TEST(Mpibind, AnswersAsPublishedOnLassen) {
  const NodeInventory node = described("lassen").inventory;
  EXPECT_EQ(cpus_of(mpibind(node, 1)), Lists{"8-87,96-175"});
  EXPECT_EQ(gpus_of(mpibind(node, 1)), Lists{"0,1,2,3"});
  const auto two = mpibind(node, 2);
  EXPECT_EQ(two[0].cpuset.count(), 20);
  EXPECT_EQ(two[0].cpuset.to_vector()[1], 12) << "the first thread of every core";
  EXPECT_EQ(two[1].cpuset.to_vector()[0], 96);
  EXPECT_EQ(gpus_of(two), (Lists{"0,1", "2,3"}));
  const auto forty = mpibind(node, 40);
  EXPECT_EQ(forty[39].cpuset.to_string(), "172");
  EXPECT_EQ(gpus_of(forty)[9], "0");
  EXPECT_EQ(gpus_of(forty)[10], "1");
}

TEST(Mpibind, AnswersAsPublishedOnCorona) {
  const NodeInventory node = described("epyc-corona").inventory;
  EXPECT_EQ(mpibind(node, 1)[0].cpuset.count(), 96);
  EXPECT_EQ(gpus_of(mpibind(node, 1)), Lists{"0,1,2,3"});
  const auto seven = mpibind(node, 7, {.threads = 16});
  EXPECT_EQ(seven[0].cpuset.count(), 24);
  EXPECT_EQ(seven[6].cpuset.count(), 12);
  EXPECT_EQ(gpus_of(seven), (Lists{"0", "1", "", "", "2", "", "3"}));
  const auto eight = mpibind(node, 8);
  EXPECT_EQ(eight[0].cpuset.to_string(), "6-8");
  EXPECT_EQ(eight[7].cpuset.to_string(), "45-47");
  EXPECT_EQ(gpus_of(eight), (Lists{"0", "0", "1", "1", "2", "2", "3", "3"}));
  const auto by_cpus = mpibind(node, 8, {.gpus = false});
  EXPECT_EQ(by_cpus[0].cpuset.to_string(), "0-5");
  EXPECT_EQ(gpus_of(by_cpus), (Lists{"", "0", "1", "", "", "2", "", "3"}));
  const auto many = mpibind(node, 48);
  CpuSet used;
  for (const RankPlacement& rank : many) used = used.united(rank.cpuset);
  EXPECT_EQ(used.to_string(), "6-17,30-35,42-47,54-65,78-83,90-95");
  EXPECT_EQ(gpus_of(many)[11], "0");
  EXPECT_EQ(gpus_of(many)[12], "1");
}

TEST(Mpibind, ReordersRanksAndLosesAGpuAsItDid) {
  EXPECT_EQ(gpus_of(mpibind(described("nd-a100-v4").inventory, 8))[0], "2");
  EXPECT_EQ(gpus_of(mpibind(described("nd-a100-v4").inventory, 4))[0], "2,3");
  EXPECT_EQ(gpus_of(mpibind(described("dgx-a100").inventory, 8))[0], "2");
  EXPECT_EQ(gpus_of(mpibind(described("hgx-h100-snc2").inventory, 4)),
            (Lists{"0,1", "2", "3", "4,5,6"}));
}

struct Published {
  std::string machine;
  int processes;
  double muster, open_mpi, slot_pe;
  double mpibind;  // 0: not published
  double torch;
};

// The study's table of scores.  It has DGX A100 with 4 ranks under Open MPI's default at 59.6.
TEST(Baselines, ScoreAsPublished) {
  const std::vector<Published> rows = {
      {"nd-h100-v5", 8, 100, 46.2, 100, 100, 80},
      {"nd-a100-v4", 4, 100, 86.5, 86.5, 100, 0},
      {"nd-a100-v4", 8, 100, 44.6, 86.5, 100, 80},
      {"dgx-a100", 4, 95, 59.6, 86.5, 93.3, 0},
      {"dgx-a100", 8, 95, 86.5, 86.5, 95, 75},
      {"hgx-h100-snc2", 4, 100, 100, 100, 83.1, 0},
      {"hgx-h100-snc2", 8, 96.1, 45.4, 91.6, 90, 80},
      {"p4d", 8, 100, 46.2, 100, 100, 80},
      {"p5", 8, 100, 46.2, 100, 100, 80},
      {"dgx-1v", 8, 100, 46.2, 100, 100, 80},
      {"hgx-h100", 8, 100, 46.2, 100, 100, 80},
  };
  constexpr double kRounding = 0.06;  // 93.25 is 93.2 or 93.3
  for (const Published& row : rows) {
    SCOPED_TRACE(fmt::format("{}, {} processes", row.machine, row.processes));
    const NodeInventory node = described(row.machine).inventory;
    EXPECT_NEAR(placed(node, row.processes).node.score.total, row.muster, kRounding);
    EXPECT_NEAR(score_of(node, open_mpi_default(node, row.processes)).total, row.open_mpi,
                kRounding);
    EXPECT_NEAR(score_of(node, *slot_pe(node, row.processes)).total, row.slot_pe, kRounding);
    EXPECT_NEAR(score_of(node, mpibind(node, row.processes)).total, row.mpibind, kRounding);
    if (row.torch > 0) {
      EXPECT_NEAR(score_of(node, *torch_node(node, row.processes)).total, row.torch, kRounding);
    }
  }
}

TEST(Baselines, OneCoreEachIsHalfOfATwoNodeMachine) {
  for (const char* machine : {"ndv2", "nd-h100-v5", "dgx-1v", "hgx-h100", "p4d", "p5"}) {
    const NodeInventory node = described(machine).inventory;
    const double score = score_of(node, open_mpi_default(node, 2)).total;
    EXPECT_GE(score, 55.9) << machine;
    EXPECT_LE(score, 57.1) << machine;
  }
}

struct Scores {
  double muster = 0;
  std::optional<PlacementScore> open_mpi, slot_pe, mpibind, torch;  // nullopt: has no answer
  std::string layout;
};

bool of_instances(const NodeInventory& node) {
  return std::any_of(node.gpus.begin(), node.gpus.end(),
                     [](const topology::Gpu& gpu) { return gpu.is_instance(); });
}

// The score of another rule with what CUDA lets its ranks use: one instance each.
PlacementScore usable_score(const NodeInventory& node, std::vector<RankPlacement> ranks) {
  for (RankPlacement& rank : ranks) {
    if (of_instances(node) && rank.gpus.size() > 1) rank.gpus.resize(1);
  }
  return score_of(node, ranks);
}

Scores scores_of(const NodeInventory& node, int processes) {
  Scores scores;
  const NodePlacement placement = placed(node, processes);
  scores.muster = placement.node.score.total;
  scores.layout = placement.node.layout;
  scores.open_mpi = usable_score(node, open_mpi_default(node, processes));
  if (const auto ranks = slot_pe(node, processes)) scores.slot_pe = usable_score(node, *ranks);
  if (processes <= static_cast<int>(node.cores.size())) {
    scores.mpibind = usable_score(node, mpibind(node, processes));
  }
  if (const auto ranks = torch_node(node, processes)) scores.torch = usable_score(node, *ranks);
  return scores;
}

constexpr int kCounts[] = {1, 2, 3, 4, 5, 6, 7, 8, 16};

class EachMachine : public ::testing::TestWithParam<std::string> {};

// A rule that leaves GPUs to nobody has an easier task, and is no choice for us.
bool gives_every_gpu(const PlacementScore& score) {
  return score.coverage == 1;
}

TEST_P(EachMachine, IsPlacedNoWorseThanByAnyOtherRule) {
  const NodeInventory node = described(GetParam()).inventory;
  const auto gpus = static_cast<int>(node.gpus.size());
  for (const int processes : kCounts) {
    if (processes > static_cast<int>(node.cores.size())) continue;
    SCOPED_TRACE(fmt::format("{} processes", processes));
    const Scores scores = scores_of(node, processes);
    const double ours = scores.muster + 1e-6;
    EXPECT_GE(ours, scores.open_mpi->total) << "Open MPI's default";
    EXPECT_GE(ours, scores.slot_pe->total) << "slot:pe";
    if (scores.torch && gives_every_gpu(*scores.torch)) {
      EXPECT_GE(ours, scores.torch->total) << "torchrun";
    }
    // Where ranks do not divide the GPUs, mpibind's ranks have others than ours: it deals GPUs by
    // NUMA node, and we give the remainder to the lowest ranks.
    const bool same_gpus = gpus % processes == 0 || processes % gpus == 0;
    if (same_gpus && gives_every_gpu(*scores.mpibind)) {
      EXPECT_GE(ours, scores.mpibind->total) << "mpibind";
    }
  }
}

TEST_P(EachMachine, KeepsRanksInTheOrderOfTheirGpus) {
  const NodeInventory node = described(GetParam()).inventory;
  for (const int processes : kCounts) {
    const NodePlacement placement = placed(node, processes);
    EXPECT_EQ(placement.node.score.order, 1) << processes << " processes";
    int next = 0;
    for (const RankPlacement& rank : placement.ranks) {
      for (const topology::Gpu& gpu : rank.gpus) {
        const bool behind_instances = of_instances(node) && gpu.visible_ordinal > next;
        EXPECT_TRUE(gpu.visible_ordinal == next || gpu.visible_ordinal == next - 1 ||
                    behind_instances)
            << processes << " processes, rank " << rank.local_rank;
        next = gpu.visible_ordinal + 1;
      }
    }
    // A rank has one instance, however many there are.
    if (of_instances(node) && processes < static_cast<int>(node.gpus.size())) continue;
    EXPECT_EQ(next, static_cast<int>(node.gpus.size())) << processes << " processes";
  }
}

// So that a half is rounded up whatever the last bit of the sum.
constexpr double kHalfUp = 1e-6;

std::string cell(const std::optional<PlacementScore>& score) {
  if (!score) return "–";
  return fmt::format("{:.1f}{}{}", score->total + kHalfUp, score->order == 1 ? "" : " ⇄",
                     gives_every_gpu(*score) ? "" : " ∅");
}

std::string table() {
  std::string text =
      "| machine | processes | Muster | layout | Open MPI's default | `slot:pe` | mpibind | "
      "torchrun's node |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const std::string& name : described_machines()) {
    const DescribedMachine machine = described(name);
    const int gpus = static_cast<int>(machine.inventory.gpus.size());
    for (const int processes : {gpus / 2, gpus}) {
      if (processes < 1 || processes > static_cast<int>(machine.inventory.cores.size())) continue;
      const Scores scores = scores_of(machine.inventory, processes);
      text += fmt::format("| {} | {} | **{:.1f}** | {} | {} | {} | {} | {} |\n", name, processes,
                          scores.muster + kHalfUp, scores.layout, cell(scores.open_mpi),
                          cell(scores.slot_pe), cell(scores.mpibind), cell(scores.torch));
    }
  }
  return text;
}

TEST(Baselines, AreTheTableOfThePlacementPage) {
  const std::string path = std::string(MUSTER_SOURCE_DIRECTORY) + "/docs/placement.md";
  constexpr std::string_view kBegin = "<!-- scores: written by machines_test -->\n";
  constexpr std::string_view kEnd = "<!-- end of scores -->";
  auto page = read_file(path);
  ASSERT_TRUE(page) << page.error().message;
  const std::size_t begin = page->find(kBegin);
  const std::size_t end = page->find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::size_t start = begin + kBegin.size();
  if (std::getenv("MUSTER_UPDATE_DOCS") != nullptr) {
    std::ofstream(path) << page->substr(0, start) + table() + page->substr(end);
    return;
  }
  EXPECT_EQ(page->substr(start, end - start), table()) << "MUSTER_UPDATE_DOCS=1 rewrites " << path;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& machine) {
  std::string name = machine.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Described, EachMachine, ::testing::ValuesIn(described_machines()),
                         test_name);

}  // namespace
}  // namespace muster::plan
