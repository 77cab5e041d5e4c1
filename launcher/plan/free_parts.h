// What of a node this run may have: its allowed cores and visible GPUs, without those that are
// reserved and, while enough is free, without those of other runs.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/mapped_ranks.h"
#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::plan {

struct FreeParts {
  CoreLine cores;
  GpuBlock gpus;
  std::vector<Reason> reasons;
  std::vector<std::string> warnings;
};

// For the ranks that rank_map gives no cores, or no GPUs; what it gives to others although another
// run has it is told.  Fails with kResources when what is reserved leaves no core.
Result<FreeParts> free_parts(const topology::NodeInventory& inventory,
                             const PlacementRequest& request, const MappedRanks& mapped);

// Visible GPUs that no other run holds.
GpuBlock unheld_gpus(const topology::NodeInventory& inventory, const std::vector<HeldByRun>& held);

}  // namespace muster::plan
