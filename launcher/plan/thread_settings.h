// Variables by which the caller or the config steers threads against the plan.
#pragma once

#include "launcher/plan/environment_families.h"

namespace muster::plan {

// One warning for each that will keep ranks from the cores that the plan gives them, with what will
// happen and what to do: OMP_PROC_BIND, OMP_PLACES, KMP_AFFINITY, GOMP_CPU_AFFINITY, and an
// OMP_NUM_THREADS above the cores of a rank.
void warn_of_thread_settings(const FamilyFacts& facts, LaunchPlan& plan);

}  // namespace muster::plan
