#include "launcher/plan/nic_choice.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <tuple>

#include "launcher/plan/placement_score.h"

namespace muster::plan {
namespace {

using topology::kUnknown;
using topology::Nic;
using topology::NodeInventory;

enum class Distance { kSwitch, kNumaNode, kPackage, kRemote, kUntold };

// A GPU, or a rank without GPUs, that needs a device.
struct Seeker {
  std::vector<std::size_t> ranks;
  int ordinal = -1;  // of the GPU
  Homes homes;
  std::vector<std::string> upstream;
  int position = 0;  // among `positions` of its kind
  int positions = 1;
};

struct Port {
  const Nic* nic;
  int position;
  int load = 0;  // seekers whose first choice it is
};

std::vector<Port> fit_ports(const NodeInventory& inventory) {
  std::vector<Port> ports;
  std::set<std::string> names;
  for (const Nic& nic : inventory.nics) {
    const bool fit = nic.is_rdma() && nic.unfit.empty() && nic.state != topology::LinkState::kDown;
    if (!fit || !names.insert(nic.name).second) continue;
    ports.push_back({&nic, static_cast<int>(ports.size())});
  }
  return ports;
}

bool has(const RankPlacement& rank, const topology::Gpu& gpu) {
  return std::any_of(rank.gpus.begin(), rank.gpus.end(), [&](const topology::Gpu& own) {
    return own.visible_ordinal == gpu.visible_ordinal;
  });
}

// Every GPU seeks once, also for several ranks, and for none: a NIC is of its GPU, however many
// ranks there are.
std::vector<Seeker> seekers_of(const NodeInventory& inventory,
                               const std::vector<RankPlacement>& ranks) {
  std::vector<Seeker> seekers;
  const bool with_gpus = std::any_of(ranks.begin(), ranks.end(),
                                     [](const RankPlacement& rank) { return !rank.gpus.empty(); });
  if (with_gpus) {
    for (const topology::Gpu& gpu : inventory.gpus) {
      Seeker seeker{{},           gpu.visible_ordinal, homes_of(inventory, {gpu}),
                    gpu.upstream, gpu.visible_ordinal, static_cast<int>(inventory.gpus.size())};
      for (std::size_t i = 0; i < ranks.size(); ++i) {
        if (has(ranks[i], gpu)) seeker.ranks.push_back(i);
      }
      seekers.push_back(std::move(seeker));
    }
  }
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (!ranks[i].gpus.empty()) continue;
    Seeker seeker{{i}, -1, {}, {}, static_cast<int>(i), static_cast<int>(ranks.size())};
    for (const int node : ranks[i].numa_nodes) {
      if (node == kUnknown) continue;
      seeker.homes.numa_nodes.insert(node);
      seeker.homes.packages.insert(package_of_node(inventory, node));
    }
    seekers.push_back(std::move(seeker));
  }
  return seekers;
}

int shared_bridges(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<int>(ends.first - a.begin());
}

Distance distance(const NodeInventory& inventory, const Seeker& seeker, const Nic& nic) {
  if (shared_bridges(seeker.upstream, nic.upstream) > 0) return Distance::kSwitch;
  if (is_one_place(inventory)) return Distance::kNumaNode;
  const int package =
      nic.package != kUnknown ? nic.package : package_of_node(inventory, nic.numa_node);
  if (nic.numa_node != kUnknown && seeker.homes.numa_nodes.contains(nic.numa_node)) {
    return Distance::kNumaNode;
  }
  if (package == kUnknown || seeker.homes.packages.empty()) return Distance::kUntold;
  return seeker.homes.packages.contains(package) ? Distance::kPackage : Distance::kRemote;
}

double nearness(Distance distance) {
  switch (distance) {
    case Distance::kSwitch: return 1;
    case Distance::kNumaNode: return 0.75;
    case Distance::kPackage: return 0.4;
    case Distance::kRemote: return 0.1;
    case Distance::kUntold: return 0;
  }
  return 0;
}

// How far apart two stand in their rows, which may differ in length.
int apart(const Seeker& seeker, const Port& port, int port_count) {
  return std::abs(port.position * seeker.positions - seeker.position * port_count);
}

// The first choice of a seeker, and how far it is; nullptr where nobody knows.
std::pair<Port*, Distance> nearest(const NodeInventory& inventory, const Seeker& seeker,
                                   std::vector<Port>& ports) {
  const auto count = static_cast<int>(ports.size());
  Port* best = nullptr;
  std::tuple<Distance, int, int, int> best_key;
  for (Port& port : ports) {
    const auto key = std::tuple(distance(inventory, seeker, *port.nic), port.load,
                                -shared_bridges(seeker.upstream, port.nic->upstream),
                                apart(seeker, port, count));
    if (best == nullptr || key < best_key) {
      best = &port;
      best_key = key;
    }
  }
  if (best == nullptr) return {nullptr, Distance::kUntold};
  const Distance how_far = std::get<0>(best_key);
  if (how_far == Distance::kUntold && ports.size() > 1) return {nullptr, how_far};
  ++best->load;
  return {best, how_far};
}

// The seeker that a device nobody chose goes to; nullptr: it stays free.
const Seeker* taker_of(const NodeInventory& inventory, const Port& port, int port_count,
                       const std::vector<Seeker>& seekers) {
  const Seeker* best = nullptr;
  std::tuple<Distance, int> best_key;
  for (const Seeker& seeker : seekers) {
    const Distance how_far = distance(inventory, seeker, *port.nic);
    const bool plenty = port_count >= 2 * seeker.positions && how_far == Distance::kNumaNode;
    if (how_far != Distance::kSwitch && !plenty) continue;
    const auto key = std::tuple(
        how_far, std::abs(port.position * seeker.positions / port_count - seeker.position));
    if (best == nullptr || key < best_key) {
      best = &seeker;
      best_key = key;
    }
  }
  return best;
}

}  // namespace

void choose_nics(const NodeInventory& inventory, std::vector<RankPlacement>& ranks) {
  std::vector<Port> ports = fit_ports(inventory);
  if (ports.empty()) return;
  const std::vector<Seeker> seekers = seekers_of(inventory, ranks);
  std::vector<std::set<int>> chosen(ranks.size());  // positions
  for (const Seeker& seeker : seekers) {
    if (const Port* port = nearest(inventory, seeker, ports).first) {
      for (const std::size_t rank : seeker.ranks) chosen[rank].insert(port->position);
    }
  }
  const auto count = static_cast<int>(ports.size());
  for (const Port& port : ports) {
    if (port.load > 0) continue;
    if (const Seeker* taker = taker_of(inventory, port, count, seekers)) {
      for (const std::size_t rank : taker->ranks) chosen[rank].insert(port.position);
    }
  }
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    ranks[i].nics.clear();
    for (const int position : chosen[i]) {
      ranks[i].nics.push_back(ports[static_cast<std::size_t>(position)].nic->name);
    }
  }
}

double rail_of(const NodeInventory& inventory, const std::vector<RankPlacement>& ranks) {
  const std::vector<Port> ports = fit_ports(inventory);
  if (ports.empty()) return 1;
  const std::vector<Seeker> seekers = seekers_of(inventory, ranks);
  std::vector<std::vector<Port>> own(ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    for (const Port& port : ports) {
      const auto& names = ranks[i].nics;
      if (std::find(names.begin(), names.end(), port.nic->name) != names.end()) {
        own[i].push_back(port);
      }
    }
  }
  std::map<std::string, int> load;
  double sum = 0;
  int count = 0;
  for (const Seeker& seeker : seekers) {
    std::set<std::string> names;  // ranks that share a GPU share its device, too
    for (const std::size_t rank : seeker.ranks) {
      const auto [port, how_far] = nearest(inventory, seeker, own[rank]);
      sum += nearness(how_far);
      ++count;
      if (port != nullptr) names.insert(port->nic->name);
    }
    for (const std::string& name : names) ++load[name];
  }
  if (load.empty() || count == 0) return 0;
  const auto [fewest, most] = std::minmax_element(
      load.begin(), load.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return sum / count * fewest->second / most->second;
}

}  // namespace muster::plan
