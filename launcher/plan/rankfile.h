// resources.binding: who binds the ranks.  The agents do; mpirun, which is told by a rankfile; or
// nobody.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::plan {

// A line for each rank: "rank 0=localhost slot=0-3,8", by core numbers as mpirun counts them on
// its node, and by mpirun's names of several.  Fails with kResources where mpirun cannot bind as
// planned: ranks without cores of their own, a core that is shared, or hardware threads of a core
// without the others.
Result<std::string> rankfile_text(const LaunchPlan& plan,
                                  const std::vector<topology::NodeInventory>& nodes,
                                  const config::Resources& resources);

// Says in the plan who binds, and by which memory policy.  With binding none every rank may run on
// all allowed CPUs, without a memory policy, and keeps its number of cores, by which threads are
// counted.  Fails with kConfig for a rankfile without mpirun to read it.
Result<> choose_binder(const config::RunConfig& config,
                       const std::vector<topology::NodeInventory>& nodes, LaunchPlan& plan);

}  // namespace muster::plan
