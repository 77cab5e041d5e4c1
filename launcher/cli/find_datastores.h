// datastores.yaml: where it is, and what it says.
#pragma once

#include <string>

#include "launcher/cli/command_line.h"
#include "launcher/config/datastores.h"

namespace muster::cli {

// --datastores, else beside the config, else the user's own; "" when there is none.  Without a
// config its directory is "".
std::string find_datastores(const CommandLine& line, const std::string& config_directory,
                            const CallerEnvironment& environment);

// What is in it; nothing for "".
tl::expected<config::Datastores, config::Problems> load_datastores(const std::string& name);

}  // namespace muster::cli
