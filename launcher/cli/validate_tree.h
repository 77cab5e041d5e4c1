// `muster validate DIR`: every run config below a directory.
#pragma once

#include "launcher/cli/commands.h"

namespace muster::cli {

// Reads each file that is a run config, skips what is none, and prints one line for each and a
// table; 65 when one is refused.
CommandResult validate_tree(const CommandLine& line, const std::string& directory);

}  // namespace muster::cli
