// Options of `pip install` that a Python environment of ours cannot have.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::plan {

// Refuses what has pip install somewhere else or nothing at all: pip would succeed, and an
// environment without the packages would be kept for every later run.
Result<> check_pip_options(const std::vector<config::Setting<std::string>>& options);

}  // namespace muster::plan
