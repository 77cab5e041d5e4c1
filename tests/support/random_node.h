// Machines and requests that nobody built, for tests of what must hold on every one.
#pragma once

#include <cstdint>
#include <random>

#include "launcher/plan/placement.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// The same seed makes the same node, on every machine and library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}

  int between(int first, int last) {
    return first + static_cast<int>(engine_() % static_cast<std::uint64_t>(last - first + 1));
  }
  bool one_in(int chances) { return between(1, chances) == 1; }

 private:
  std::mt19937_64 engine_;
};

// Packages, NUMA nodes of equal or odd sizes, hardware threads, caches; some CPUs offline, some not
// allowed; ids with gaps; GPUs and NICs that are near something or nobody knows what.
topology::NodeInventory random_node(Dice& dice);

// From one rank to more than there are cores.
int random_process_count(const topology::NodeInventory& node, Dice& dice);

// Options that may or may not fit, and other runs that hold some of the node.
PlacementRequest random_request(const topology::NodeInventory& node, Dice& dice);

}  // namespace muster::plan
