// How others would place ranks on a node, each by its own rule: what Muster is measured against.
//
// The rules are those of Open MPI 4.1.4 (its default, and what people write instead), LLNL's
// mpibind and torchrun's --numa-binding=node.  A placement has cpuset and gpus alone: none of them
// but mpibind and torchrun knows GPUs, so Open MPI's ranks use the GPU blocks that Muster's have.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// One or two ranks: a core each.  More: NUMA nodes in turn, each rank on all of its CPUs.
std::vector<RankPlacement> open_mpi_default(const topology::NodeInventory& node, int ranks);

// --map-by slot:pe=CORES/RANKS --bind-to core: consecutive cores.  nullopt: more ranks than cores.
std::optional<std::vector<RankPlacement>> slot_pe(const topology::NodeInventory& node, int ranks);

struct MpibindOptions {
  int threads = 0;   // of a task; 0: as many as it has cores
  bool gpus = true;  // distribute tasks by GPUs, where there are any
};
std::vector<RankPlacement> mpibind(const topology::NodeInventory& node, int ranks,
                                   const MpibindOptions& options = {});

// Rank r uses GPU r and all CPUs of its NUMA node; an unknown one counts as node 0.  nullopt: more
// ranks than GPUs.
std::optional<std::vector<RankPlacement>> torch_node(const topology::NodeInventory& node,
                                                     int ranks);

}  // namespace muster::plan
