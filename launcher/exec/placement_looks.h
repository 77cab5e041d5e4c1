// What agents read back of their ranks' placement, and how it differs from the plan.
#pragma once

#include <string>
#include <vector>

#include "launcher/exec/execution.h"
#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

plan::PlacementSeen placement_of(const protocol::PlacementSeen& seen);

// Of the look some seconds after the start.
std::vector<std::string> differences_later(const ExecutionRequest& request,
                                           const plan::RankOutcome& rank,
                                           const protocol::PlacementSeen& seen);

}  // namespace muster::exec
