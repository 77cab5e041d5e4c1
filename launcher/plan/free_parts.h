// What of a node this run may have: its allowed cores and visible GPUs, without those that are
// reserved and, while enough is free, without those of other runs.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::plan {

struct FreeParts {
  CoreLine cores;
  GpuBlock gpus;
  std::vector<Reason> reasons;
  std::vector<std::string> warnings;
};

// `ranks` of them need cores and GPUs of their own.  Fails with kResources when what is reserved
// leaves no core.
Result<FreeParts> free_parts(const topology::NodeInventory& inventory,
                             const PlacementRequest& request, int ranks);

// Visible GPUs that no other run holds.
GpuBlock unheld_gpus(const topology::NodeInventory& inventory, const std::vector<HeldByRun>& held);

}  // namespace muster::plan
