// The PATH of ranks that run with a Python environment.
#pragma once

#include "launcher/plan/launch_plan.h"

namespace muster::plan {

// Its bin directory goes first, before what the config says; once, however often this is called.
void put_python_first(LaunchPlan& plan);

}  // namespace muster::plan
