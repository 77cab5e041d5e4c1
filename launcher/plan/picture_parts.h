// What a picture of one node consists of, before anything has a place: NUMA nodes with the cores,
// ranks and devices that are there.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/picture.h"

namespace muster::plan {

using RankList = std::vector<const RankPlacement*>;

struct CoreCell {
  const topology::Core* core = nullptr;  // null: one that we may not use
  RankList ranks;
};

// One rank's part of a place, or that of several that need not be told apart.
struct RankChip {
  RankList ranks;
  int cores = 0;
  bool remote = false;  // its GPUs are elsewhere
};

// Devices below one PCI bridge; without a bridge, a single one.
struct DeviceGroup {
  std::string bridge;
  std::vector<const topology::Gpu*> gpus;
  std::vector<const topology::Nic*> nics;
};

struct Place {
  enum class Kind { kNumaNode, kPackage, kNowhere };
  Kind kind = Kind::kNumaNode;
  int numa_node = topology::kUnknown;
  int package = topology::kUnknown;
  const topology::NumaNode* node = nullptr;
  std::vector<CoreCell> cells;
  std::vector<RankChip> chips;
  std::vector<DeviceGroup> groups;
};

struct PlannedTie {
  int from_place = 0;
  int from_chip = 0;
  int to_place = 0;
  const topology::Gpu* gpu = nullptr;
  TieKind kind = TieKind::kNear;
  const RankPlacement* rank = nullptr;
};

struct NodeParts {
  // NUMA nodes by package and OS index; then devices of which the package is known alone, by
  // package; then what is nowhere.
  std::vector<Place> places;
  std::vector<PlannedTie> ties;
  std::vector<int> left_out;  // NUMA nodes without CPUs and devices
};

NodeParts parts_of(const topology::NodeInventory& node, const RankList& ranks);

// The ranks that own this GPU.
RankList owners_of(const topology::Gpu& gpu, const RankList& ranks);

}  // namespace muster::plan
