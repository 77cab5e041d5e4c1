// After the run: what the agents found about ranks that failed, and what these ranks left, becomes
// evidence in their outcomes.
#pragma once

#include <map>

#include "collector/store/run_directory.h"
#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

// Reads the ends of the failed ranks' stderr; the outcome's first failure gets its rank's cause.
void explain_failures(const store::RunDirectory& directory, int attempt,
                      const std::map<int, protocol::RankEvidence>& found,
                      plan::RunOutcome& outcome);

}  // namespace muster::exec
