// Which GPUs belong to which rank: by count alone, in visible order, before any locality.
#pragma once

#include <vector>

#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::plan {

struct GpuBlocks {
  std::vector<GpuBlock> of_rank;
  bool shared = false;  // some GPU belongs to several ranks
};

// Of `gpus`, which may be fewer than the node's, to `ranks` ranks.  Fails with kResources when an
// explicit gpus_per_process does not fit, and with kConfig when it contradicts gpu_assignment.
Result<GpuBlocks> gpu_blocks(const topology::NodeInventory& inventory, const GpuBlock& gpus,
                             int ranks, const PlacementRequest& request);

// "0-3,6": visible ordinals.
std::string ordinals(const GpuBlock& gpus);
std::string ordinals(const std::vector<topology::Gpu>& gpus);
// "GPU 3", "GPUs 0-3"
std::string named(const GpuBlock& gpus);

}  // namespace muster::plan
