// Resource limits: raised for the launcher, which holds every rank's pipes, and restored for ranks.
#pragma once

#include <vector>

#include "base/process.h"
#include "muster/result.h"

namespace muster::exec {

// Raises the soft limits for open files and processes as far as a node with `local_ranks` needs.
// Returns the limits as they were, for the ranks.  An error (kResources) names the number that the
// hard limit would have to be.
Result<std::vector<ResourceLimit>> raise_limits(int local_ranks);

// Descriptors that the launcher needs for that many ranks.
unsigned long files_needed(int local_ranks);

}  // namespace muster::exec
