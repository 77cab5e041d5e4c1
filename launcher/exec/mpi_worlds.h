// Notices N ranks that each form an MPI world of one, which MPI itself never reports: the program
// runs, N times, on the whole problem.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"

namespace muster::exec {

// One warning for each way in which the MPI libraries that ranks were seen to use do not fit how
// they were started; empty when all is well.  Pure.
std::vector<std::string> find_separate_worlds(const plan::LaunchPlan& plan,
                                              const std::vector<plan::RankOutcome>& ranks);

}  // namespace muster::exec
