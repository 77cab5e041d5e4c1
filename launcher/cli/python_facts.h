// Which Python a run's ranks will find.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "launcher/config/run_config.h"
#include "launcher/plan/make_plan.h"

namespace muster::cli {

// Looks for it on the PATH that ranks will have.  nullopt for a run that has nothing to do with
// Python, as far as its words tell.
std::optional<plan::PythonFacts> find_python(
    const config::RunConfig& config, const std::map<std::string, std::string>& caller_environment);

// The python3 on the ranks' PATH when there is no `python` there, as on Debian; else "".
std::string python3_alone(const config::RunConfig& config,
                          const std::map<std::string, std::string>& caller_environment);

}  // namespace muster::cli
