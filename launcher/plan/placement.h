// Which rank of a node gets which cores and which NUMA nodes' memory.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::plan {

// What another run of this node holds.
struct HeldByRun {
  std::string run_id;
  int pid = 0;                    // of its launcher
  CpuSet cpus;                    // PUs, OS indexes
  std::vector<std::string> gpus;  // UUIDs, or bus ids where they are unknown
};

struct PlacementRequest {
  config::Setting<int> process_count;  // on this node, at least 1
  config::Resources resources;
  std::vector<HeldByRun> held = {};  // avoided while enough is free; else shared, with a warning
};

struct NodePlacement {
  std::vector<RankPlacement> ranks;  // by local rank; rank and node_rank count from 0 on this node
  bool oversubscribed = false;       // more ranks than cores: all unbound
  std::vector<Reason> reasons;
  std::vector<std::string> warnings;
  NodePlan node = {};  // without its rank and hostname
};

// The same request on the same inventory always gets the same answer.  Fails with kResources when
// the node has too few cores for what is asked.
Result<NodePlacement> place(const topology::NodeInventory& inventory,
                            const PlacementRequest& request);

}  // namespace muster::plan
