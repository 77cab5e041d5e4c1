// How many processes a run has on each node, and why.
#pragma once

#include "launcher/config/run_config.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::plan {

struct ProcessCounts {
  int node_count = 1;                         // that the run really has
  std::vector<config::Setting<int>> by_node;  // with their derivations as origins
  std::vector<Reason> reasons;                // for node_count and process_count_per_node

  const config::Setting<int>& on_node() const { return by_node.front(); }
};

// From node_count, process_count_per_node (a number or auto) or tensorflow's roles, and whether all
// nodes' processes go on this one.  Refuses what cannot run here, or has no backend; several nodes
// unless there is an inventory of each.
Result<ProcessCounts> count_processes(const config::RunConfig& config, const PlanInputs& inputs);

}  // namespace muster::plan
