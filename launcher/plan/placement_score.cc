#include "launcher/plan/placement_score.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "launcher/plan/nic_choice.h"

namespace muster::plan {
namespace {

using topology::Core;
using topology::kUnknown;
using topology::NodeInventory;

constexpr double kSamePackage = 0.7;

double ratio(double part, double whole) {
  return whole == 0 ? 0 : part / whole;
}

using Used = std::vector<CoreIndex::Part>;  // of one rank

// Of a rank without GPUs: 1 when it lies in as few NUMA nodes as its size allows; cores in further
// ones count 0.7 in a package that it already has, else 0.
double locality_without_gpus(int largest, const Used& used) {
  std::map<std::pair<int, int>, int> own;  // cores by (package, NUMA node)
  for (const CoreIndex::Part& each : used) ++own[{each.core->package, each.core->numa_node}];
  std::vector<std::pair<int, int>> by_size;  // (cores, package)
  for (const auto& [domain, count] : own) by_size.emplace_back(count, domain.first);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });

  const auto size = static_cast<int>(used.size());
  const auto needed = static_cast<std::size_t>((size + largest - 1) / largest);
  double near = 0;
  for (std::size_t i = 0; i < by_size.size(); ++i) {
    const bool own_package = std::any_of(
        by_size.begin(), by_size.begin() + static_cast<std::ptrdiff_t>(std::min(needed, i)),
        [&](const auto& other) { return other.second == by_size[i].second; });
    near += (i < needed ? 1.0 : own_package ? kSamePackage : 0.0) * by_size[i].first;
  }
  return ratio(near, size);
}

double nearness(const Homes& homes, const Core& core) {
  if (core.numa_node != kUnknown && homes.numa_nodes.contains(core.numa_node)) return 1;
  if (core.package != kUnknown && homes.packages.contains(core.package)) return kSamePackage;
  return 0;
}

double locality_of(const CoreIndex& index, const RankPlacement& rank, const Used& used) {
  if (used.empty()) return 0;
  if (rank.gpus.empty()) return locality_without_gpus(index.largest_domain(), used);
  const NodeInventory& inventory = index.inventory();
  if (is_one_place(inventory)) return 1;
  const Homes homes = homes_of(inventory, rank.gpus);
  double near = 0;
  double threads = 0;
  for (const CoreIndex::Part& each : used) {
    near += nearness(homes, *each.core) * each.threads;
    threads += each.threads;
  }
  return near / threads;
}

// 1 when the policy names nodes of the rank's GPUs alone, 0.5 when they are in their packages.
double memory_of(const NodeInventory& inventory, const RankPlacement& rank, const Used& used) {
  if (rank.memory_nodes.empty()) return 0;
  if (is_one_place(inventory)) return 1;
  Homes homes = homes_of(inventory, rank.gpus);
  if (rank.gpus.empty()) {
    for (const CoreIndex::Part& each : used) {
      homes.numa_nodes.insert(each.core->numa_node);
      homes.packages.insert(each.core->package);
    }
  }
  const auto all = [&](auto is_near) {
    return std::all_of(rank.memory_nodes.begin(), rank.memory_nodes.end(), is_near);
  };
  if (all([&](int node) { return homes.numa_nodes.contains(node); })) return 1;
  return all([&](int node) {
    const int package = package_of_node(inventory, node);
    return package != kUnknown && homes.packages.contains(package);
  })
             ? 0.5
             : 0;
}

// 1 when local ranks have their GPUs in visible order.
double order_of(const std::vector<RankPlacement>& ranks) {
  int last = -1;
  for (const RankPlacement& rank : ranks) {
    for (const topology::Gpu& gpu : rank.gpus) {
      if (gpu.visible_ordinal < last) return 0;
      last = gpu.visible_ordinal;
    }
  }
  return 1;
}

double coverage_of(const std::vector<RankPlacement>& ranks, int gpus_to_cover) {
  if (gpus_to_cover == 0) return 1;
  std::set<int> covered;
  for (const RankPlacement& rank : ranks) {
    for (const topology::Gpu& gpu : rank.gpus) covered.insert(gpu.visible_ordinal);
  }
  return std::min(1.0, ratio(static_cast<double>(covered.size()), gpus_to_cover));
}

// Who uses the cores, and how: exclusive, balanced, whole.
void score_cores(const NodeInventory& inventory, const std::vector<Used>& used,
                 const std::vector<RankPlacement>& ranks, PlacementScore& score) {
  struct Users {
    std::vector<std::size_t> ranks;
    bool whole = true;  // each of them has all of the core
  };
  const Core* const first_core = inventory.cores.data();
  std::vector<Users> users(inventory.cores.size());
  for (std::size_t rank = 0; rank < used.size(); ++rank) {
    for (const CoreIndex::Part& each : used[rank]) {
      Users& of_core = users[static_cast<std::size_t>(each.core - first_core)];
      of_core.ranks.push_back(rank);
      of_core.whole = of_core.whole && each.whole;
    }
  }
  std::vector<double> effective(ranks.size(), 0);
  double count = 0;
  double exclusive = 0;
  double together = 0;
  for (std::size_t i = 0; i < users.size(); ++i) {
    const std::vector<std::size_t>& who = users[i].ranks;
    if (who.empty()) continue;
    ++count;
    for (const std::size_t rank : who) effective[rank] += 1.0 / static_cast<double>(who.size());
    if (who.size() == 1) ++exclusive;
    const auto part_of = [&](std::size_t rank) {
      return inventory.cores[i].pus.intersection(ranks[rank].cpuset);
    };
    const bool same = users[i].whole || who.size() == 1 ||
                      std::all_of(who.begin(), who.end(), [&](std::size_t rank) {
                        return part_of(rank) == part_of(who.front());
                      });
    if (same) ++together;
  }
  const auto [fewest, most] = std::minmax_element(effective.begin(), effective.end());
  score.exclusive = ratio(exclusive, count);
  score.siblings = ratio(together, count);
  score.balance = effective.empty() ? 0 : ratio(*fewest, *most);
  score.use = ratio(count, static_cast<double>(inventory.cores.size()));
}

}  // namespace

bool is_one_place(const NodeInventory& inventory) {
  return inventory.numa_nodes.size() <= 1 &&
         std::all_of(inventory.cores.begin(), inventory.cores.end(), [&](const Core& core) {
           return core.numa_node == inventory.cores.front().numa_node &&
                  core.package == inventory.cores.front().package;
         });
}

int package_of_node(const NodeInventory& inventory, int numa_node) {
  for (const topology::NumaNode& node : inventory.numa_nodes) {
    if (node.os_index == numa_node && node.package != kUnknown) return node.package;
  }
  for (const Core& core : inventory.cores) {
    if (core.numa_node == numa_node) return core.package;
  }
  return kUnknown;
}

Homes homes_of(const NodeInventory& inventory, const std::vector<topology::Gpu>& gpus) {
  Homes homes;
  for (const topology::Gpu& gpu : gpus) {
    int package = gpu.package;
    if (gpu.numa_node != kUnknown) {
      homes.numa_nodes.insert(gpu.numa_node);
      if (package == kUnknown) package = package_of_node(inventory, gpu.numa_node);
    }
    if (package != kUnknown) homes.packages.insert(package);
  }
  return homes;
}

double locality_of(const CoreIndex& index, const RankPlacement& rank) {
  return locality_of(index, rank, index.parts_of(rank.cpuset));
}

PlacementScore score_of(const NodeInventory& inventory, const std::vector<RankPlacement>& ranks,
                        int gpus_to_cover) {
  return score_of(CoreIndex(inventory), ranks, gpus_to_cover);
}

PlacementScore score_of(const CoreIndex& index, const std::vector<RankPlacement>& ranks,
                        int gpus_to_cover) {
  const NodeInventory& inventory = index.inventory();
  PlacementScore score;
  if (ranks.empty()) return score;
  std::vector<Used> used;
  double sum = 0;
  double worst = 1;
  double memory = 0;
  for (const RankPlacement& rank : ranks) {
    used.push_back(index.parts_of(rank.cpuset));
    const double near = locality_of(index, rank, used.back());
    sum += near;
    worst = std::min(worst, near);
    memory += memory_of(inventory, rank, used.back());
  }
  const auto count = static_cast<double>(ranks.size());
  score.coverage = coverage_of(ranks, gpus_to_cover);
  score.locality = score.coverage * (sum / count + worst) / 2;
  score_cores(inventory, used, ranks, score);
  const double total = 100 * (0.45 * score.locality + 0.20 * score.exclusive +
                              0.15 * score.balance + 0.10 * score.use + 0.10 * score.coverage);
  score.total = std::round(total * 1e9) / 1e9;  // 96, not 96.00000000000001
  score.memory = memory / count;
  score.rail = rail_of(inventory, ranks);
  score.order = order_of(ranks);
  return score;
}

PlacementScore score_of(const NodeInventory& inventory, const std::vector<RankPlacement>& ranks) {
  return score_of(inventory, ranks, static_cast<int>(inventory.gpus.size()));
}

}  // namespace muster::plan
