// Minimum-cost flow by successive shortest paths, one core at a time.
//
//   source → rank → domain → sink          at home, and where nobody knows
//   source → rank → away → domain → sink   elsewhere: `away` is where a rank's far cores meet
//
// The costs of a rank's far cores, and of its cores in one home, rise with their number.  They are
// convex, so that augmenting along shortest paths stays exact.
#include "launcher/plan/core_flow.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>

namespace muster::plan {
namespace {

// Three orders of cost, each far above any sum of the next: nearness, alike among ranks, alike
// among the homes of a rank.
constexpr std::int64_t kStep = 1'000'000'000'000;  // 0.1 of nearness
constexpr std::int64_t kAlike = 100'000'000;
constexpr std::int64_t kAmongHomes = 4;

struct Arc {
  int from;
  int to;
  int capacity;
  std::int64_t cost = 0;    // of each unit
  std::int64_t rising = 0;  // unit k costs (2k + 1) of it more
  int flow = 0;

  std::int64_t next() const { return cost + (2 * std::int64_t{flow} + 1) * rising; }
  std::int64_t last() const { return cost + (2 * std::int64_t{flow} - 1) * rising; }
};

class Network {
 public:
  explicit Network(int nodes) : arcs_of_(static_cast<std::size_t>(nodes)) {}

  std::size_t add(Arc arc) {
    arcs_of_[static_cast<std::size_t>(arc.from)].push_back(arcs_.size());
    arcs_of_[static_cast<std::size_t>(arc.to)].push_back(arcs_.size());
    arcs_.push_back(arc);
    return arcs_.size() - 1;
  }

  int flow(std::size_t arc) const { return arcs_[arc].flow; }

  // Sends one unit along a cheapest path; false when there is none.
  bool augment(int source, int sink) {
    constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max();
    distance_.assign(arcs_of_.size(), kFar);
    via_.assign(arcs_of_.size(), 0);
    queued_.assign(arcs_of_.size(), false);
    queue_.assign(1, source);
    distance_[static_cast<std::size_t>(source)] = 0;
    for (std::size_t at = 0; at < queue_.size(); ++at) {
      const auto node = static_cast<std::size_t>(queue_[at]);
      queued_[node] = false;
      for (const std::size_t index : arcs_of_[node]) relax(node, index);
    }
    if (distance_[static_cast<std::size_t>(sink)] == kFar) return false;
    for (int node = sink; node != source;) {
      Arc& arc = arcs_[via_[static_cast<std::size_t>(node)]];
      const bool forward = arc.to == node;
      arc.flow += forward ? 1 : -1;
      node = forward ? arc.from : arc.to;
    }
    return true;
  }

 private:
  void relax(std::size_t node, std::size_t index) {
    const Arc& arc = arcs_[index];
    const bool forward = arc.from == static_cast<int>(node);
    if (forward ? arc.flow == arc.capacity : arc.flow == 0) return;
    const auto other = static_cast<std::size_t>(forward ? arc.to : arc.from);
    const std::int64_t reached = distance_[node] + (forward ? arc.next() : -arc.last());
    if (reached >= distance_[other]) return;
    distance_[other] = reached;
    via_[other] = index;
    if (queued_[other]) return;
    queued_[other] = true;
    queue_.push_back(static_cast<int>(other));
  }

  std::vector<Arc> arcs_;
  std::vector<std::vector<std::size_t>> arcs_of_;
  std::vector<std::int64_t> distance_;
  std::vector<std::size_t> via_;
  std::vector<bool> queued_;
  std::vector<int> queue_;
};

}  // namespace

std::optional<CoreCounts> cheapest_flow(const FlowProblem& problem) {
  const auto ranks = static_cast<int>(problem.quotas.size());
  const auto domains = static_cast<int>(problem.capacities.size());
  const int source = 0;
  const int first_rank = 1;
  const int first_away = first_rank + ranks;
  const int first_domain = first_away + ranks;
  const int sink = first_domain + domains;
  Network network(sink + 1);

  std::vector<std::vector<std::optional<std::size_t>>> arc_of(
      problem.quotas.size(), std::vector<std::optional<std::size_t>>(problem.capacities.size()));
  for (int d = 0; d < domains; ++d) {
    network.add({first_domain + d, sink, problem.capacities[static_cast<std::size_t>(d)]});
  }
  for (int r = 0; r < ranks; ++r) {
    const auto rank = static_cast<std::size_t>(r);
    const int quota = problem.quotas[rank];
    if (quota == 0) continue;
    network.add({source, first_rank + r, quota});
    network.add({first_rank + r, first_away + r, quota, 0, kAlike / quota});
    for (int d = 0; d < domains; ++d) {
      const auto domain = static_cast<std::size_t>(d);
      Arc arc{first_rank + r, first_domain + d, quota};
      switch (problem.nearness[rank][domain]) {
        case Nearness::kForbidden: continue;
        case Nearness::kUntold: break;
        case Nearness::kHome:
          arc.rising = kAmongHomes * 64 / std::clamp(problem.gpus[rank][domain], 1, 64);
          break;
        case Nearness::kPackage:
          arc.from = first_away + r;
          arc.cost = 3 * kStep;
          break;
        case Nearness::kRemote:
          arc.from = first_away + r;
          arc.cost = 10 * kStep;
          break;
      }
      arc_of[rank][domain] = network.add(arc);
    }
  }

  const int wanted = std::accumulate(problem.quotas.begin(), problem.quotas.end(), 0);
  for (int sent = 0; sent < wanted; ++sent) {
    if (!network.augment(source, sink)) return std::nullopt;
  }
  CoreCounts counts(problem.quotas.size(), std::vector<int>(problem.capacities.size(), 0));
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    for (std::size_t domain = 0; domain < counts[rank].size(); ++domain) {
      if (const auto arc = arc_of[rank][domain]) counts[rank][domain] = network.flow(*arc);
    }
  }
  return counts;
}

std::vector<int> apportion(int total, const std::vector<int>& weights,
                           const std::vector<int>& minimum) {
  const std::int64_t sum = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
  std::vector<int> shares(weights.size(), 0);
  if (sum == 0) return shares;
  std::vector<std::pair<std::int64_t, std::size_t>> remainders;  // (-remainder, who)
  int left = total;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::int64_t part = std::int64_t{total} * weights[i];
    shares[i] = static_cast<int>(part / sum);
    left -= shares[i];
    remainders.emplace_back(-(part % sum), i);
  }
  std::sort(remainders.begin(), remainders.end());
  for (int i = 0; i < left; ++i) ++shares[remainders[static_cast<std::size_t>(i)].second];
  for (std::size_t i = 0; i < minimum.size(); ++i) {
    while (shares[i] < minimum[i]) {
      std::size_t richest = i;
      int most = 0;
      for (std::size_t other = 0; other < shares.size(); ++other) {
        if (shares[other] - minimum[other] > most) {
          most = shares[other] - minimum[other];
          richest = other;
        }
      }
      if (most == 0) return shares;
      --shares[richest];
      ++shares[i];
    }
  }
  return shares;
}

}  // namespace muster::plan
