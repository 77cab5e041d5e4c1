// Three ways to deal cores to ranks without GPUs.
//
//   even inside   "balanced": equal shares (±1), each inside one domain; exists only when the
//   shares
//                 can be packed, and is then the best there is
//   whole nodes   "strict": every domain's cores go to its own ranks: local, but shares differ
//   where
//                 the ranks do not divide the domains
//   even across   "balanced": equal shares (±1) cut from one line of cores, some across a border
//
// All of them keep ranks in the order of their domains, and give neighbouring cores to one rank, so
// shares that divide an L3 cache fill whole caches.  There is no spill: no domain is without ranks
// of its own, so who asks for it gets balanced.
#include "launcher/plan/placement_layout.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <tuple>

namespace muster::plan {
namespace {

using topology::Core;
using topology::kUnknown;

int size_of(const Domain& domain) {
  return static_cast<int>(domain.cores.size());
}

int core_count(const std::vector<Domain>& domains) {
  return std::accumulate(domains.begin(), domains.end(), 0,
                         [](int sum, const Domain& domain) { return sum + size_of(domain); });
}

// `total` in `parts` shares that differ by at most one, larger ones first.
std::vector<int> even_shares(int total, int parts) {
  std::vector<int> shares(static_cast<std::size_t>(parts), total / parts);
  for (int i = 0; i < total % parts; ++i) ++shares[static_cast<std::size_t>(i)];
  return shares;
}

std::vector<int> shares_of(const std::vector<Domain>& domains, const Deal& deal) {
  if (deal.cores_per_rank) {
    return std::vector<int>(static_cast<std::size_t>(deal.rank_count), *deal.cores_per_rank);
  }
  return even_shares(core_count(domains), deal.rank_count);
}

// Cuts consecutive shares off a line of cores.
void deal_in_order(const CoreLine& cores, const std::vector<int>& shares,
                   std::vector<CoreLine>& ranks) {
  auto at = cores.begin();
  for (const int share : shares) {
    ranks.emplace_back(at, at + share);
    at += share;
  }
}

// Ranks that a domain, and the package around it, have got so far.
struct Occupancy {
  std::vector<std::vector<int>> shares;  // [domain]
  std::vector<int> free;                 // [domain]
  std::map<int, int> in_package;

  explicit Occupancy(const std::vector<Domain>& domains) : shares(domains.size()) {
    for (const Domain& domain : domains) free.push_back(size_of(domain));
  }
};

// Gives each share a domain that has room: the one with the fewest ranks, in the package with the
// fewest ranks, with the most free cores, the first.  nullopt when a share finds no room.
std::optional<Occupancy> pack(const std::vector<Domain>& domains, const std::vector<int>& shares) {
  Occupancy occupancy(domains);
  for (const int share : shares) {
    std::optional<std::size_t> best;
    const auto rank_of = [&](std::size_t i) {
      const auto package = occupancy.in_package.find(domains[i].package);
      const int in_package = package == occupancy.in_package.end() ? 0 : package->second;
      return std::tuple(occupancy.shares[i].size(), in_package, -occupancy.free[i]);
    };
    for (std::size_t i = 0; i < domains.size(); ++i) {
      if (occupancy.free[i] < share) continue;
      if (!best || rank_of(i) < rank_of(*best)) best = i;
    }
    if (!best) return std::nullopt;
    occupancy.shares[*best].push_back(share);
    occupancy.free[*best] -= share;
    ++occupancy.in_package[domains[*best].package];
  }
  return occupancy;
}

std::optional<Layout> even_inside(const std::vector<Domain>& domains,
                                  const std::vector<int>& shares) {
  const auto occupancy = pack(domains, shares);
  if (!occupancy) return std::nullopt;
  Layout layout{
      "balanced", "equal shares inside NUMA nodes, spread before any is filled twice", {}};
  for (std::size_t i = 0; i < domains.size(); ++i) {
    deal_in_order(domains[i].cores, occupancy->shares[i], layout.ranks);
  }
  return layout;
}

// How many ranks each domain gets: one each, then wherever a further rank gets most cores.
std::vector<int> ranks_per_domain(const std::vector<Domain>& domains, int rank_count) {
  std::vector<int> counts(domains.size(), 1);
  for (int left = rank_count - static_cast<int>(domains.size()); left > 0; --left) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < domains.size(); ++i) {
      // size_i / (count_i + 1) > size_best / (count_best + 1), in whole numbers
      if (size_of(domains[i]) * (counts[best] + 1) > size_of(domains[best]) * (counts[i] + 1)) {
        best = i;
      }
    }
    ++counts[best];
  }
  return counts;
}

// Neighbouring domains for each rank, cut at the borders nearest to equal shares.
Layout whole_domains_per_rank(const std::vector<Domain>& domains, int rank_count) {
  Layout layout{"strict", "whole NUMA nodes per rank", {}};
  const int total = core_count(domains);
  int dealt = 0;
  std::size_t at = 0;
  for (int rank = 0; rank < rank_count; ++rank) {
    const int target = total * (rank + 1) / rank_count;
    const std::size_t last = domains.size() - static_cast<std::size_t>(rank_count - rank - 1);
    CoreLine cores;
    while (at < last) {
      const int with_next = dealt + size_of(domains[at]);
      const bool is_final_rank = rank + 1 == rank_count;
      const bool overshoots = std::abs(with_next - target) > std::abs(dealt - target);
      if (!cores.empty() && !is_final_rank && overshoots) break;
      cores.insert(cores.end(), domains[at].cores.begin(), domains[at].cores.end());
      dealt = with_next;
      ++at;
    }
    layout.ranks.push_back(std::move(cores));
  }
  return layout;
}

std::optional<Layout> whole_nodes(const std::vector<Domain>& domains, int rank_count) {
  if (rank_count < static_cast<int>(domains.size())) {
    return whole_domains_per_rank(domains, rank_count);
  }
  Layout layout{"strict", "each NUMA node shared by its own ranks", {}};
  const std::vector<int> counts = ranks_per_domain(domains, rank_count);
  for (std::size_t i = 0; i < domains.size(); ++i) {
    if (counts[i] > size_of(domains[i])) return std::nullopt;
    deal_in_order(domains[i].cores, even_shares(size_of(domains[i]), counts[i]), layout.ranks);
  }
  return layout;
}

Layout even_across(const std::vector<Domain>& domains, const std::vector<int>& shares) {
  Layout layout{"balanced", "equal shares across NUMA nodes", {}};
  CoreLine line;
  for (const Domain& domain : domains) {
    line.insert(line.end(), domain.cores.begin(), domain.cores.end());
  }
  deal_in_order(line, shares, layout.ranks);
  return layout;
}

}  // namespace

std::vector<Domain> domains_of(const CoreLine& cores) {
  std::map<std::tuple<bool, int, int>, Domain> domains;
  for (const Core* core : cores) {
    const bool unknown = core->numa_node == kUnknown;
    Domain& domain = domains[{unknown, core->numa_node, unknown ? core->package : 0}];
    if (domain.cores.empty()) {
      domain.numa_node = core->numa_node;
      domain.package = core->package;
    }
    domain.cores.push_back(core);
  }
  std::vector<Domain> ordered;
  for (auto& [key, domain] : domains) ordered.push_back(std::move(domain));
  // Not by their numbers: a machine that numbers its NUMA nodes otherwise is the same machine.
  std::sort(ordered.begin(), ordered.end(), [](const Domain& a, const Domain& b) {
    const bool a_unknown = a.numa_node == kUnknown;
    const bool b_unknown = b.numa_node == kUnknown;
    return std::tuple(a_unknown, a.cores.front()->logical_index) <
           std::tuple(b_unknown, b.cores.front()->logical_index);
  });
  return ordered;
}

std::vector<Layout> candidate_layouts(const std::vector<Domain>& domains, const Deal& deal) {
  using config::CoreLayout;
  const std::vector<int> shares = shares_of(domains, deal);
  std::vector<Layout> layouts;
  auto inside = even_inside(domains, shares);
  const bool strict_helps = !inside && !deal.cores_per_rank;
  if (deal.wanted == CoreLayout::kStrict || (deal.wanted == CoreLayout::kBest && strict_helps)) {
    auto strict = deal.cores_per_rank ? inside : whole_nodes(domains, deal.rank_count);
    if (strict) {
      strict->name = "strict";
      layouts.push_back(std::move(*strict));
    }
  }
  if (deal.wanted != CoreLayout::kStrict) {
    layouts.push_back(inside ? std::move(*inside) : even_across(domains, shares));
  }
  return layouts;
}

}  // namespace muster::plan
