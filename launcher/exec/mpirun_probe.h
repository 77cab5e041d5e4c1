// Which mpirun there is: found on PATH and asked for its version.
#pragma once

#include <map>
#include <string>

#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::exec {

// The mpirun that this PATH gives.  Errors (kResources): none on PATH, not Open MPI, fails when
// asked. What a program file answered is remembered in the user's cache directory until the file
// changes.
Result<plan::MpirunIdentity> find_mpirun(const std::map<std::string, std::string>& environment);

// "mpirun (Open MPI) 4.1.4\n…" → the identity; an error that quotes what else it says.
Result<plan::MpirunIdentity> parse_mpirun_version(const std::string& executable,
                                                  const std::string& answer);

}  // namespace muster::exec
