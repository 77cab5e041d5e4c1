// Between the plan and the agents: what an agent is told about its rank, and what its reports mean.
// Pure.
#pragma once

#include "launcher/exec/execution.h"
#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

// How Open MPI shares memory: by files, which lie where its backing directory is.  (Its default
// too; but it tries all ways first, and killed while it does leaves /dev/shm/open_mpi.0000 behind.)
inline constexpr const char* kOpenMpiSharedMemory = "mmap";

// Where no place has room for those files.
inline constexpr const char* kOpenMpiWithoutSharedMemory = "self,tcp";

// Everything that the agent of `rank` needs; the descriptors travel beside it.
protocol::RankSpec rank_spec(const ExecutionRequest& request, int rank);

// What is known of a rank, with the agent's news added.
plan::RankOutcome with_start(plan::RankOutcome outcome, const protocol::TrainingStarted& started,
                             const plan::RankPlacement& planned);
plan::RankOutcome with_end(plan::RankOutcome outcome, const protocol::TrainingEnded& ended);

}  // namespace muster::exec
