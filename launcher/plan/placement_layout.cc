// Three ways to deal cores to ranks, and the score that chooses among them.
//
//   even inside   equal shares (±1), each inside one domain; exists only when the shares can be
//                 packed, and is then the best there is
//   whole nodes   every domain's cores go to its own ranks: local, but shares differ where the
//   ranks
//                 do not divide the domains
//   even across   equal shares (±1) cut from one line of cores: balanced, but some cross a border
//
// All of them keep ranks in the order of their domains, so rank order follows NUMA order, and give
// neighbouring cores to one rank, so shares that divide an L3 cache fill whole caches.  The score
// is the one of the GPU placement (locality, balance, use), with a rank's own nodes in the GPU's
// place.
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
void deal_in_order(const std::vector<const Core*>& cores, const std::vector<int>& shares,
                   std::vector<std::vector<const Core*>>& ranks) {
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
  Layout layout{"equal shares inside NUMA nodes, spread before any is filled twice", {}, 0};
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
  Layout layout{"whole NUMA nodes per rank", {}, 0};
  const int total = core_count(domains);
  int dealt = 0;
  std::size_t at = 0;
  for (int rank = 0; rank < rank_count; ++rank) {
    const int target = total * (rank + 1) / rank_count;
    const std::size_t last = domains.size() - static_cast<std::size_t>(rank_count - rank - 1);
    std::vector<const Core*> cores;
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
  Layout layout{"each NUMA node shared by its own ranks", {}, 0};
  const std::vector<int> counts = ranks_per_domain(domains, rank_count);
  for (std::size_t i = 0; i < domains.size(); ++i) {
    if (counts[i] > size_of(domains[i])) return std::nullopt;
    deal_in_order(domains[i].cores, even_shares(size_of(domains[i]), counts[i]), layout.ranks);
  }
  return layout;
}

Layout even_across(const std::vector<Domain>& domains, const std::vector<int>& shares) {
  Layout layout{"equal shares across NUMA nodes", {}, 0};
  std::vector<const Core*> line;
  for (const Domain& domain : domains) {
    line.insert(line.end(), domain.cores.begin(), domain.cores.end());
  }
  deal_in_order(line, shares, layout.ranks);
  return layout;
}

// 1 when the rank lies in as few domains as its size allows; cores in further domains count 0.7 in
// a package that it already has, else 0.
double locality(const std::vector<const Core*>& rank, int largest_domain) {
  std::map<std::pair<int, int>, int> cores_by_domain;  // (package, NUMA node)
  for (const Core* core : rank) ++cores_by_domain[{core->package, core->numa_node}];
  std::vector<std::pair<int, int>> by_size;  // (cores, package)
  for (const auto& [domain, count] : cores_by_domain) by_size.emplace_back(count, domain.first);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });

  const auto size = static_cast<int>(rank.size());
  const auto needed = static_cast<std::size_t>((size + largest_domain - 1) / largest_domain);
  double near = 0;
  for (std::size_t i = 0; i < by_size.size(); ++i) {
    const bool own_package = std::any_of(
        by_size.begin(), by_size.begin() + static_cast<std::ptrdiff_t>(std::min(needed, i)),
        [&](const auto& other) { return other.second == by_size[i].second; });
    const double weight = i < needed ? 1.0 : own_package ? 0.7 : 0.0;
    near += weight * by_size[i].first;
  }
  return near / size;
}

double score_of(const Layout& layout, const std::vector<Domain>& domains, int cores_to_use) {
  int largest_domain = 1;
  for (const Domain& domain : domains) largest_domain = std::max(largest_domain, size_of(domain));
  double sum = 0;
  double worst = 1;
  std::size_t used = 0;
  std::size_t most = 0;
  std::size_t fewest = layout.ranks.front().size();
  for (const auto& rank : layout.ranks) {
    const double near = locality(rank, largest_domain);
    sum += near;
    worst = std::min(worst, near);
    used += rank.size();
    most = std::max(most, rank.size());
    fewest = std::min(fewest, rank.size());
  }
  const double mean = sum / static_cast<double>(layout.ranks.size());
  const double balance = static_cast<double>(fewest) / static_cast<double>(most);
  const double use = static_cast<double>(used) / cores_to_use;
  // Weights of locality, exclusive cores, balance, use and GPU coverage; the second and the last
  // are always whole here.
  return 100 * (0.45 * (mean + worst) / 2 + 0.20 + 0.15 * balance + 0.10 * use + 0.10);
}

}  // namespace

std::vector<Domain> domains_of(const topology::NodeInventory& inventory) {
  std::map<std::tuple<bool, int, int>, Domain> domains;
  for (const Core& core : inventory.cores) {
    const bool unknown = core.numa_node == kUnknown;
    Domain& domain = domains[{unknown, core.numa_node, unknown ? core.package : 0}];
    if (domain.cores.empty()) {
      domain.numa_node = core.numa_node;
      domain.package = core.package;
    }
    domain.cores.push_back(&core);
  }
  std::vector<Domain> ordered;
  for (auto& [key, domain] : domains) ordered.push_back(std::move(domain));
  return ordered;
}

std::vector<Layout> candidate_layouts(const std::vector<Domain>& domains, const Deal& deal) {
  const std::vector<int> shares = shares_of(domains, deal);
  std::vector<Layout> layouts;
  if (auto layout = even_inside(domains, shares)) layouts.push_back(std::move(*layout));
  if (layouts.empty()) {
    if (!deal.cores_per_rank) {
      if (auto layout = whole_nodes(domains, deal.rank_count))
        layouts.push_back(std::move(*layout));
    }
    layouts.push_back(even_across(domains, shares));
  }
  const int cores_to_use =
      deal.cores_per_rank ? deal.rank_count * *deal.cores_per_rank : core_count(domains);
  for (Layout& layout : layouts) layout.score = score_of(layout, domains, cores_to_use);
  return layouts;
}

}  // namespace muster::plan
