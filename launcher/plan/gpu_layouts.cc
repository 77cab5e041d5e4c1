#include "launcher/plan/gpu_layouts.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace muster::plan {
namespace {

using config::CoreLayout;
using topology::kUnknown;

constexpr const char* kStrictHow =
    "the cores of each NUMA node go to the ranks that have GPUs there";
constexpr const char* kBalancedHow = "equal cores per GPU in each package, as near as they fit";
constexpr const char* kEvenHow = "the same number of cores for every rank, as near as they fit";
constexpr const char* kOrderedHow =
    "the same number of cores for every rank, in the cores' own order";
constexpr const char* kSpillHow =
    "as strict, and NUMA nodes without GPUs are shared in their package";

struct Table {
  const std::vector<Domain>& domains;
  const GpuHomes& homes;
  const Deal& deal;

  std::size_t ranks() const { return homes.gpus.size(); }
  int size(std::size_t domain) const { return static_cast<int>(domains[domain].cores.size()); }

  bool has_gpus(std::size_t domain) const {
    return std::any_of(homes.gpus.begin(), homes.gpus.end(),
                       [&](const auto& row) { return row[domain] > 0; });
  }

  int gpus_in_package(std::size_t rank, int package) const {
    int count = 0;
    for (std::size_t d = 0; d < domains.size(); ++d) {
      if (domains[d].package == package) count += homes.gpus[rank][d];
    }
    return count;
  }

  int homes_of(std::size_t rank) const {
    return static_cast<int>(std::count_if(homes.gpus[rank].begin(), homes.gpus[rank].end(),
                                          [](int gpus) { return gpus > 0; }));
  }

  int homes_in_package(std::size_t rank, int package) const {
    int count = 0;
    for (std::size_t d = 0; d < domains.size(); ++d) {
      if (domains[d].package == package && homes.gpus[rank][d] > 0) ++count;
    }
    return count;
  }

  std::size_t first_home(std::size_t rank) const {
    const auto& row = homes.gpus[rank];
    return static_cast<std::size_t>(
        std::find_if(row.begin(), row.end(), [](int gpus) { return gpus > 0; }) - row.begin());
  }
};

int sum(const std::vector<int>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0);
}

bool everybody_has_a_core(const CoreCounts& counts) {
  return std::all_of(counts.begin(), counts.end(), [](const auto& row) { return sum(row) > 0; });
}

// Ranges of each domain: first of the ranks at home there, then of the others, each in their order;
// or of all ranks in their order.
std::vector<CoreLine> cut(const Table& table, const CoreCounts& counts, bool home_first) {
  std::vector<CoreLine> ranks(counts.size());
  for (std::size_t d = 0; d < table.domains.size(); ++d) {
    auto at = table.domains[d].cores.begin();
    for (const bool at_home : {true, false}) {
      for (std::size_t rank = 0; rank < counts.size(); ++rank) {
        if ((!home_first || table.homes.gpus[rank][d] > 0) != at_home) continue;
        ranks[rank].insert(ranks[rank].end(), at, at + counts[rank][d]);
        at += counts[rank][d];
      }
    }
  }
  return ranks;
}

// Every domain with GPUs to the ranks that have them; nullopt when somebody gets nothing.
std::optional<CoreCounts> shares_at_home(const Table& table) {
  CoreCounts counts(table.ranks(), std::vector<int>(table.domains.size(), 0));
  for (std::size_t d = 0; d < table.domains.size(); ++d) {
    std::vector<int> weights;
    std::vector<int> minimum;
    for (std::size_t rank = 0; rank < table.ranks(); ++rank) {
      weights.push_back(table.homes.gpus[rank][d]);
      minimum.push_back(weights.back() > 0 && table.homes_of(rank) == 1 ? 1 : 0);
    }
    if (sum(minimum) > table.size(d)) return std::nullopt;
    if (sum(weights) == 0) continue;
    const std::vector<int> shares = apportion(table.size(d), weights, minimum);
    for (std::size_t rank = 0; rank < shares.size(); ++rank) counts[rank][d] = shares[rank];
  }
  if (!everybody_has_a_core(counts)) return std::nullopt;
  return counts;
}

// The package's domains without GPUs as one line, cut in the order of the takers' homes, so that
// each gets what is next to its own.
template <typename Takes>
void share_empty_domains(const Table& table, int package, Takes takes, CoreCounts& counts) {
  std::vector<std::size_t> takers;
  for (std::size_t rank = 0; rank < table.ranks(); ++rank) {
    if (takes(rank)) takers.push_back(rank);
  }
  if (takers.empty()) return;
  std::stable_sort(takers.begin(), takers.end(), [&](std::size_t a, std::size_t b) {
    return table.first_home(a) < table.first_home(b);
  });
  std::vector<std::size_t> empty;
  int cores = 0;
  for (std::size_t d = 0; d < table.domains.size(); ++d) {
    if (table.domains[d].package != package || table.has_gpus(d)) continue;
    empty.push_back(d);
    cores += table.size(d);
  }
  std::vector<int> weights;
  for (const std::size_t rank : takers) weights.push_back(table.gpus_in_package(rank, package));
  std::vector<int> shares = apportion(cores, weights);
  std::size_t taker = 0;
  for (const std::size_t d : empty) {
    for (int left = table.size(d); left > 0;) {
      while (shares[taker] == 0) ++taker;
      const int part = std::min(left, shares[taker]);
      counts[takers[taker]][d] += part;
      shares[taker] -= part;
      left -= part;
    }
  }
}

std::vector<int> packages_of(const Table& table) {
  std::vector<int> packages;  // in the order of their domains
  for (const Domain& domain : table.domains) {
    if (domain.package == kUnknown) continue;
    if (std::find(packages.begin(), packages.end(), domain.package) == packages.end()) {
      packages.push_back(domain.package);
    }
  }
  return packages;
}

std::optional<CoreCounts> strict_counts(const Table& table) {
  auto counts = shares_at_home(table);
  if (!counts) return std::nullopt;
  for (const int package : packages_of(table)) {
    share_empty_domains(
        table, package, [&](std::size_t rank) { return table.homes_in_package(rank, package) > 1; },
        *counts);
  }
  return counts;
}

std::optional<CoreCounts> spill_counts(const Table& table) {
  auto counts = shares_at_home(table);
  if (!counts) return std::nullopt;
  for (const int package : packages_of(table)) {
    share_empty_domains(
        table, package, [&](std::size_t rank) { return table.homes_in_package(rank, package) > 0; },
        *counts);
  }
  return counts;
}

FlowProblem flow_problem(const Table& table, std::vector<int> quotas) {
  FlowProblem problem;
  problem.quotas = std::move(quotas);
  for (std::size_t d = 0; d < table.domains.size(); ++d) {
    problem.capacities.push_back(table.size(d));
  }
  problem.nearness = table.homes.nearness;
  problem.gpus = table.homes.gpus;
  return problem;
}

template <typename Allowed>
void forbid(FlowProblem& problem, Allowed allowed) {
  for (std::size_t rank = 0; rank < problem.nearness.size(); ++rank) {
    for (std::size_t d = 0; d < problem.capacities.size(); ++d) {
      if (!allowed(rank, d)) problem.nearness[rank][d] = Nearness::kForbidden;
    }
  }
}

// The package's cores to the ranks with GPUs in it; nullopt when they are too few.
std::optional<CoreCounts> balance_package(const Table& table, int package) {
  int cores = 0;
  for (std::size_t d = 0; d < table.domains.size(); ++d) {
    if (table.domains[d].package == package) cores += table.size(d);
  }
  std::vector<int> weights;
  std::vector<int> minimum;
  for (std::size_t rank = 0; rank < table.ranks(); ++rank) {
    weights.push_back(table.gpus_in_package(rank, package));
    const bool only_here =
        weights.back() > 0 && table.homes_of(rank) == table.homes_in_package(rank, package);
    minimum.push_back(only_here ? 1 : 0);
  }
  if (sum(minimum) > cores) return std::nullopt;
  FlowProblem problem = flow_problem(table, apportion(cores, weights, minimum));
  forbid(problem, [&](std::size_t, std::size_t d) { return table.domains[d].package == package; });
  return cheapest_flow(problem);
}

std::optional<CoreCounts> balanced_in_packages(const Table& table) {
  const bool all_known =
      std::all_of(table.domains.begin(), table.domains.end(),
                  [](const Domain& domain) { return domain.package != kUnknown; });
  if (!all_known || !table.homes.everybody_has_home()) return std::nullopt;
  CoreCounts counts(table.ranks(), std::vector<int>(table.domains.size(), 0));
  for (const int package : packages_of(table)) {
    const auto part = balance_package(table, package);
    if (!part) return std::nullopt;
    for (std::size_t rank = 0; rank < counts.size(); ++rank) {
      for (std::size_t d = 0; d < counts[rank].size(); ++d) counts[rank][d] += (*part)[rank][d];
    }
  }
  if (!everybody_has_a_core(counts)) return std::nullopt;
  return counts;
}

// Over the whole node: where a package has too few cores, or somebody's home is unknown.
std::optional<CoreCounts> balanced_over_node(const Table& table) {
  int cores = 0;
  for (std::size_t d = 0; d < table.domains.size(); ++d) cores += table.size(d);
  std::vector<int> weights;
  for (std::size_t rank = 0; rank < table.ranks(); ++rank) {
    weights.push_back(std::max(1, sum(table.homes.gpus[rank])));
  }
  const std::vector<int> minimum(table.ranks(), 1);
  return cheapest_flow(flow_problem(table, apportion(cores, weights, minimum)));
}

std::optional<CoreCounts> balanced_counts(const Table& table) {
  if (auto counts = balanced_in_packages(table)) return counts;
  return balanced_over_node(table);
}

// The largest share that every rank can have; what does not divide is left.
int even_share(const Table& table) {
  int cores = 0;
  for (std::size_t d = 0; d < table.domains.size(); ++d) cores += table.size(d);
  return cores / static_cast<int>(table.ranks());
}

// As many for a rank with one GPU as for one with two.
std::optional<CoreCounts> even_counts(const Table& table) {
  return cheapest_flow(flow_problem(table, std::vector<int>(table.ranks(), even_share(table))));
}

// As one would deal them who knows no GPUs.  The flow has the nearest cores on average; where some
// rank's are few, this one's worst rank may be better off.
std::optional<CoreCounts> ordered_counts(const Table& table) {
  CoreCounts counts(table.ranks(), std::vector<int>(table.domains.size(), 0));
  std::size_t rank = 0;
  int left = even_share(table);
  for (std::size_t d = 0; d < table.domains.size(); ++d) {
    for (int free = table.size(d); free > 0 && rank < table.ranks();) {
      const int part = std::min(free, left);
      counts[rank][d] += part;
      free -= part;
      left -= part;
      if (left > 0) continue;
      ++rank;
      left = even_share(table);
    }
  }
  return counts;
}

// Shares of one size, in the domains that a layout may use.
std::optional<CoreCounts> fixed_counts(const Table& table, CoreLayout layout) {
  FlowProblem problem =
      flow_problem(table, std::vector<int>(table.ranks(), *table.deal.cores_per_rank));
  forbid(problem, [&](std::size_t rank, std::size_t d) {
    if (layout == CoreLayout::kBalanced) return true;
    const Nearness nearness = table.homes.nearness[rank][d];
    if (nearness == Nearness::kHome) return true;
    return layout == CoreLayout::kSpill && nearness == Nearness::kPackage && !table.has_gpus(d);
  });
  return cheapest_flow(problem);
}

struct Way {
  CoreLayout layout;
  const char* name;
  const char* how;
  std::optional<CoreCounts> (*counts)(const Table& table);
};

constexpr Way kWays[] = {
    {CoreLayout::kStrict, "strict", kStrictHow, strict_counts},
    {CoreLayout::kBalanced, "balanced", kBalancedHow, balanced_counts},
    {CoreLayout::kSpill, "spill", kSpillHow, spill_counts},
    {CoreLayout::kBest, "even", kEvenHow, even_counts},
    {CoreLayout::kBest, "ordered", kOrderedHow, ordered_counts},
};

}  // namespace

std::vector<Layout> gpu_layouts(const std::vector<Domain>& domains, const GpuHomes& homes,
                                const Deal& deal) {
  const Table table{domains, homes, deal};
  std::vector<Layout> layouts;
  for (const Way& way : kWays) {
    if (deal.wanted != CoreLayout::kBest && deal.wanted != way.layout) continue;
    if (deal.cores_per_rank && way.layout == CoreLayout::kBest) continue;  // all are even then
    const bool needs_homes = way.layout == CoreLayout::kStrict || way.layout == CoreLayout::kSpill;
    if (needs_homes && !homes.everybody_has_home()) continue;
    const auto counts = deal.cores_per_rank ? fixed_counts(table, way.layout) : way.counts(table);
    if (!counts) continue;
    layouts.push_back({way.name, way.how, cut(table, *counts, way.counts != ordered_counts),
                       way.layout == CoreLayout::kBest});
  }
  return layouts;
}

}  // namespace muster::plan
