// The patterns that a run's config had, as its plan.json has them.
#pragma once

#include "collector/metrics/patterns.h"
#include "collector/store/run_directory.h"

namespace muster::metrics {

// Empty also when there is no plan, or none that can be read.
Patterns patterns_of_run(const store::RunDirectory& run);

}  // namespace muster::metrics
