// Why a placement is as it is: a sentence for each rank, reasons and warnings for the node.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/core_index.h"
#include "launcher/plan/free_parts.h"
#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/placement.h"
#include "launcher/plan/placement_layout.h"

namespace muster::plan {

// What was decided, and from what.
struct Decision {
  const CoreIndex& index;
  const topology::NodeInventory& inventory;
  const PlacementRequest& request;
  const FreeParts& parts;
  const std::vector<Domain>& domains;
  const GpuHomes& homes;
  const std::vector<Layout>& layouts;  // the candidates
  std::size_t taken = 0;               // of them
  std::vector<bool> mapped = {};       // [local rank]: its cores are rank_map's
  bool narrowed = false;               // ranks were dealt GPUs that one process cannot use together
};

// "nearest to GPU 2 (NUMA 1)", "8 of 12 cores nearest to GPU 0 (NUMA 0), 4 elsewhere in its
// package"
std::string why_there(const Decision& decision, const RankPlacement& rank);

void explain_cores(const Decision& decision, NodePlacement& placement);
void explain_gpus(const Decision& decision, NodePlacement& placement);
void explain_memory(const Decision& decision, NodePlacement& placement);

}  // namespace muster::plan
