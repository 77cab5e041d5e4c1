// The plan for programs: `muster plan --format json` and plan.json.  Fields are added, never
// renamed.
#pragma once

#include <string>

#include "launcher/plan/launch_plan.h"

namespace muster::plan {

// One JSON object; sets of CPUs and NUMA nodes are Linux lists.  Ends in a newline.
std::string plan_json(const LaunchPlan& plan);

}  // namespace muster::plan
