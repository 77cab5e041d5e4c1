// The plan for people and for shells: `muster plan`.
#pragma once

#include <string>

#include "launcher/plan/launch_plan.h"

namespace muster::plan {

// Placement, reasons, environment, warnings and the exact line; ends in a newline.
std::string plan_text(const LaunchPlan& plan);

// One line a shell can run: mpirun's, or without MPI the rank's own; ends in a newline.
std::string plan_argv(const LaunchPlan& plan);

}  // namespace muster::plan
