// At which domains the ranks' GPUs are at home, among the cores that ranks may have.
#pragma once

#include <vector>

#include "launcher/plan/core_flow.h"
#include "launcher/plan/placement_layout.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

using GpuBlock = std::vector<const topology::Gpu*>;  // of one rank, in visible order

struct GpuHomes {
  CoreCounts gpus;                              // [rank][domain]: how many of its GPUs
  std::vector<std::vector<Nearness>> nearness;  // [rank][domain]
  std::vector<const topology::Gpu*> untold;     // whose NUMA node nobody knows
  std::vector<const topology::Gpu*> stand_in;   // whose NUMA node has no core for us

  bool has_home(std::size_t rank) const;
  bool anybody_has_home() const;
  bool everybody_has_home() const;
};

// A GPU whose NUMA node has no core for us is at home at the nearest one that has: by the machine's
// distances, then in its package, then where fewest GPUs are for its cores.
GpuHomes gpu_homes(const topology::NodeInventory& inventory, const std::vector<Domain>& domains,
                   const std::vector<GpuBlock>& blocks);

}  // namespace muster::plan
