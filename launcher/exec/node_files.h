// Makes the directories and the host file that variables of ranks name (plan/batch_directories.h).
#pragma once

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::exec {

// Fails with kRunDirectory, below which they lie.
Result<> make_node_files(const plan::StartValues& start, const plan::LaunchPlan& plan);

}  // namespace muster::exec
