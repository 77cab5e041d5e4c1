// Between the plan and the agents: what an agent is told about its rank, and what its reports mean.
// Pure.
#pragma once

#include "launcher/exec/execution.h"
#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

// Everything that the agent of `rank` needs; the descriptors travel beside it.
protocol::RankSpec rank_spec(const ExecutionRequest& request, int rank);

// What is known of a rank, with the agent's news added.
plan::RankOutcome with_start(plan::RankOutcome outcome, const protocol::TrainingStarted& started,
                             const plan::RankPlacement& planned);
plan::RankOutcome with_end(plan::RankOutcome outcome, const protocol::TrainingEnded& ended);

}  // namespace muster::exec
