#include "launcher/plan/picture_parts.h"

#include <algorithm>
#include <map>
#include <set>

namespace muster::plan {
namespace {

using topology::Core;
using topology::Gpu;
using topology::kUnknown;
using topology::Nic;
using topology::NodeInventory;
using topology::NumaNode;

constexpr std::size_t kMostChips = 16;  // of one place; more become one

std::string slot_of(const std::string& bus_id) {
  return bus_id.substr(0, bus_id.rfind('.'));
}

// Bridge → slots of the devices below it: two functions of one card need no switch.
using Bridges = std::map<std::string, std::set<std::string>>;

Bridges bridges_of(const NodeInventory& node) {
  Bridges bridges;
  for (const Gpu& gpu : node.gpus) {
    for (const std::string& bridge : gpu.upstream) bridges[bridge].insert(slot_of(gpu.bus_id));
  }
  for (const Nic& nic : node.nics) {
    for (const std::string& bridge : nic.upstream) bridges[bridge].insert(slot_of(nic.bus_id));
  }
  return bridges;
}

// The innermost bridge that has other devices, too.
std::string shared_bridge(const std::vector<std::string>& upstream, const Bridges& bridges) {
  for (auto bridge = upstream.rbegin(); bridge != upstream.rend(); ++bridge) {
    if (bridges.at(*bridge).size() > 1) return *bridge;
  }
  return "";
}

DeviceGroup& group_of(Place& place, const std::string& bridge) {
  if (!bridge.empty()) {
    for (DeviceGroup& group : place.groups) {
      if (group.bridge == bridge) return group;
    }
  }
  place.groups.push_back({bridge, {}, {}});
  return place.groups.back();
}

class Builder {
 public:
  Builder(const NodeInventory& node, const RankList& ranks) : node_(node), ranks_(ranks) {}

  NodeParts build() {
    add_numa_nodes();
    add_cores();
    add_devices();
    drop_empty();
    for (Place& place : parts_.places) add_chips(place);
    add_ties();
    return std::move(parts_);
  }

 private:
  int package_of(const NumaNode& numa) const {
    if (numa.package != kUnknown) return numa.package;
    for (const Core& core : node_.cores) {
      if (core.numa_node == numa.os_index) return core.package;
    }
    return kUnknown;
  }

  void add_numa_nodes() {
    for (const NumaNode& numa : node_.numa_nodes) {
      Place& place = parts_.places.emplace_back();
      place.numa_node = numa.os_index;
      place.package = package_of(numa);
      place.node = &numa;
    }
    std::stable_sort(parts_.places.begin(), parts_.places.end(), [](const auto& a, const auto& b) {
      return static_cast<unsigned>(a.package) < static_cast<unsigned>(b.package);
    });
  }

  Place& place_of(int numa_node, int package) {
    for (Place& place : parts_.places) {
      if (numa_node != kUnknown && place.numa_node == numa_node) return place;
    }
    const auto kind = package == kUnknown ? Place::Kind::kNowhere : Place::Kind::kPackage;
    for (Place& place : parts_.places) {
      if (place.kind == kind && (kind == Place::Kind::kNowhere || place.package == package))
        return place;
    }
    Place made;
    made.kind = kind;
    made.package = package;
    const auto at =
        std::find_if(parts_.places.begin(), parts_.places.end(), [&](const Place& each) {
          return each.kind == Place::Kind::kNowhere ||
                 (kind == Place::Kind::kPackage && each.kind == kind && each.package > package);
        });
    return *parts_.places.insert(kind == Place::Kind::kNowhere ? parts_.places.end() : at,
                                 std::move(made));
  }

  void add_cores() {
    int threads = 1;
    for (const Core& core : node_.cores) threads = std::max(threads, core.pus.count());
    for (const Core& core : node_.cores) {
      CoreCell cell{&core, {}};
      for (const RankPlacement* rank : ranks_) {
        if (rank->bound && !rank->cpuset.intersection(core.pus).empty()) cell.ranks.push_back(rank);
      }
      place_of(core.numa_node, core.numa_node == kUnknown ? core.package : kUnknown)
          .cells.push_back(std::move(cell));
    }
    // Which CPUs that we may not use are one core is not known: as many threads as others have.
    for (Place& place : parts_.places) {
      if (place.node == nullptr) continue;
      int missing = place.node->present_cpus.count() - place.node->cpus.count();
      for (const CoreCell& cell : place.cells) missing -= threads - cell.core->pus.count();
      for (; missing > 0; missing -= threads) place.cells.push_back({});
    }
  }

  void add_devices() {
    const Bridges bridges = bridges_of(node_);
    for (const Gpu& gpu : node_.gpus) {
      Place& place = place_of(gpu.numa_node, gpu.package);
      group_of(place, shared_bridge(gpu.upstream, bridges)).gpus.push_back(&gpu);
    }
    for (const Nic& nic : node_.nics) {
      Place& place = place_of(nic.numa_node, nic.package);
      group_of(place, shared_bridge(nic.upstream, bridges)).nics.push_back(&nic);
    }
  }

  void drop_empty() {
    std::erase_if(parts_.places, [&](const Place& place) {
      if (!place.cells.empty() || !place.groups.empty()) return false;
      parts_.left_out.push_back(place.numa_node);
      return true;
    });
  }

  bool has_gpu_at(const RankPlacement& rank, const Place& place) const {
    return std::any_of(rank.gpus.begin(), rank.gpus.end(), [&](const Gpu& gpu) {
      return gpu.numa_node == place.numa_node && place.numa_node != kUnknown;
    });
  }

  static bool knows_its_gpus(const RankPlacement& rank) {
    return std::any_of(rank.gpus.begin(), rank.gpus.end(),
                       [](const Gpu& gpu) { return gpu.numa_node != kUnknown; });
  }

  void add_chips(Place& place) const {
    for (const RankPlacement* rank : ranks_) {
      const auto cores =
          std::count_if(place.cells.begin(), place.cells.end(), [&](const CoreCell& cell) {
            return std::find(cell.ranks.begin(), cell.ranks.end(), rank) != cell.ranks.end();
          });
      if (cores == 0) continue;
      place.chips.push_back(
          {{rank}, static_cast<int>(cores), knows_its_gpus(*rank) && !has_gpu_at(*rank, place)});
    }
    const bool unbound = !ranks_.empty() && !ranks_.front()->bound && !place.cells.empty();
    if (place.chips.size() <= kMostChips && !unbound) return;
    RankChip all;
    if (unbound) all.ranks = ranks_;
    for (const RankChip& chip : place.chips) {
      all.ranks.push_back(chip.ranks.front());
      all.cores += chip.cores;
    }
    place.chips = {std::move(all)};
  }

  // The chip of the rank that is nearest to a place: in it, on its package, anywhere.
  std::pair<int, int> chip_near(const RankPlacement* rank, const Place& place) const {
    std::pair<int, int> best = {-1, -1};
    int best_distance = 3;
    for (std::size_t i = 0; i < parts_.places.size(); ++i) {
      const Place& each = parts_.places[i];
      for (std::size_t chip = 0; chip < each.chips.size(); ++chip) {
        const RankList& ranks = each.chips[chip].ranks;
        if (ranks.size() > 1 || ranks.front() != rank) continue;
        const int distance = &each == &place ? 0 : each.package == place.package ? 1 : 2;
        if (distance >= best_distance) continue;
        best_distance = distance;
        best = {static_cast<int>(i), static_cast<int>(chip)};
      }
    }
    return best;
  }

  int place_index(const Gpu* gpu) const {
    for (std::size_t i = 0; i < parts_.places.size(); ++i) {
      for (const DeviceGroup& group : parts_.places[i].groups) {
        if (std::find(group.gpus.begin(), group.gpus.end(), gpu) != group.gpus.end())
          return static_cast<int>(i);
      }
    }
    return -1;
  }

  const Gpu* own(const Gpu& gpu) const {
    const auto found = std::find_if(node_.gpus.begin(), node_.gpus.end(), [&](const Gpu& each) {
      return each.visible_ordinal == gpu.visible_ordinal;
    });
    return found == node_.gpus.end() ? nullptr : &*found;
  }

  // Each GPU to the nearest cores of its rank, and each part of a rank without a GPU of it to the
  // nearest one: every remote pair is seen, and no more lines than that.
  void add_ties() {
    for (const RankPlacement* rank : ranks_) {
      for (const Gpu& mine : rank->gpus) {
        const Gpu* gpu = own(mine);
        const int to = gpu == nullptr ? -1 : place_index(gpu);
        if (to < 0) continue;
        const auto [from, chip] = chip_near(rank, parts_.places[static_cast<std::size_t>(to)]);
        if (from < 0) continue;
        const TieKind kind = gpu->numa_node == kUnknown ? TieKind::kUnknown
                             : from == to               ? TieKind::kNear
                                                        : TieKind::kRemote;
        parts_.ties.push_back({from, chip, to, gpu, kind, rank});
      }
    }
    for (std::size_t i = 0; i < parts_.places.size(); ++i) {
      for (std::size_t chip = 0; chip < parts_.places[i].chips.size(); ++chip) {
        const RankChip& each = parts_.places[i].chips[chip];
        if (!each.remote || each.ranks.size() > 1) continue;
        add_tie_of_remote(static_cast<int>(i), static_cast<int>(chip), each.ranks.front());
      }
    }
  }

  void add_tie_of_remote(int from, int chip, const RankPlacement* rank) {
    for (const PlannedTie& tie : parts_.ties) {
      if (tie.from_place == from && tie.from_chip == chip) return;
    }
    const Gpu* nearest = nullptr;
    for (const Gpu& mine : rank->gpus) {
      const Gpu* gpu = own(mine);
      if (gpu == nullptr || gpu->numa_node == kUnknown) continue;
      const int package = parts_.places[static_cast<std::size_t>(from)].package;
      if (nearest == nullptr || (nearest->package != package && gpu->package == package))
        nearest = gpu;
    }
    if (nearest == nullptr) return;
    parts_.ties.push_back({from, chip, place_index(nearest), nearest, TieKind::kRemote, rank});
  }

  const NodeInventory& node_;
  const RankList& ranks_;
  NodeParts parts_;
};

}  // namespace

NodeParts parts_of(const NodeInventory& node, const RankList& ranks) {
  return Builder(node, ranks).build();
}

RankList owners_of(const Gpu& gpu, const RankList& ranks) {
  RankList owners;
  for (const RankPlacement* rank : ranks) {
    for (const Gpu& mine : rank->gpus) {
      if (mine.visible_ordinal == gpu.visible_ordinal) owners.push_back(rank);
    }
  }
  return owners;
}

}  // namespace muster::plan
