// The placement of every node of a run, its ranks numbered through all of them.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "launcher/plan/process_count.h"
#include "muster/result.h"

namespace muster::plan {

// What the placements of the nodes had to say; the same of several nodes stands once.
struct PlacementNotes {
  std::vector<Reason> reasons;
  std::vector<std::string> warnings;
};

// Fills nodes, ranks, world_size, process_count_per_node and oversubscribed.
Result<PlacementNotes> place_nodes(const config::RunConfig& config, const PlanInputs& inputs,
                                   const ProcessCounts& counts, LaunchPlan& plan);

}  // namespace muster::plan
