// How good a layout is: one pure function for Muster's own candidates and for those of others.
//
// The terms and their weights are in docs/placement.md.  They are ours, and no measured speed.
#pragma once

#include <set>
#include <vector>

#include "launcher/plan/core_index.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// Reads cpuset, gpus, memory_nodes and nics of the node's ranks, by local rank.  `gpus_to_cover` is
// how many GPUs should belong to some rank: all visible ones, or 0 for a run on CPUs.
//
// A rank without GPUs has its own NUMA nodes in the place of its GPUs'.  A GPU of which nobody
// could tell where it is counts as far from everything, unless the machine has one NUMA node.
PlacementScore score_of(const topology::NodeInventory& inventory,
                        const std::vector<RankPlacement>& ranks, int gpus_to_cover);

// With every visible GPU to cover.
PlacementScore score_of(const topology::NodeInventory& inventory,
                        const std::vector<RankPlacement>& ranks);

// The same, for who scores several layouts of one node.
PlacementScore score_of(const CoreIndex& index, const std::vector<RankPlacement>& ranks,
                        int gpus_to_cover);

// Mean nearness of the rank's hardware threads to its GPUs: 1 on the NUMA node of one of them, 0.7
// in the package of one, else 0.
double locality_of(const CoreIndex& index, const RankPlacement& rank);

// NUMA nodes and packages, OS indexes, where the GPUs are; unknown ones are left out.
struct Homes {
  std::set<int> numa_nodes;
  std::set<int> packages;
};
Homes homes_of(const topology::NodeInventory& inventory, const std::vector<topology::Gpu>& gpus);

// Of a NUMA node; kUnknown where nobody told.
int package_of_node(const topology::NodeInventory& inventory, int numa_node);

// Nothing can be far on a machine with one NUMA node.
bool is_one_place(const topology::NodeInventory& inventory);

}  // namespace muster::plan
