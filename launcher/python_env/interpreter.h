// What a Python interpreter is, asked of itself.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/plan/python_plan.h"
#include "muster/result.h"

namespace muster::python_env {

using Environment = std::map<std::string, std::string>;

// Starts it once.  With names (as package indexes compare them), also which versions of these it
// has, its user's own packages included.
Result<plan::InterpreterFacts> ask_interpreter(const std::string& executable,
                                               const Environment& environment,
                                               const std::vector<std::string>& names);

}  // namespace muster::python_env
