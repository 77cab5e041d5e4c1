// What this node has for environment.python: the effectful half of planning it.
#pragma once

#include <map>
#include <string>

#include "launcher/config/run_config.h"
#include "launcher/plan/python_plan.h"
#include "muster/result.h"

namespace muster::python_env {

// Reads files, lists the cache, and starts the interpreter once.  Fails where a file of
// requirements cannot be read; an interpreter that is not there is told in the sources, because
// conda needs none.
Result<plan::PythonSources> look(const config::RunConfig& config,
                                 const std::map<std::string, std::string>& caller_environment,
                                 const std::string& current_directory);

}  // namespace muster::python_env
