// The subcommands.  Each prints its result and returns its exit code, or an error for main to
// print.
#pragma once

#include "launcher/cli/command_line.h"
#include "launcher/cli/load_run.h"

namespace muster::cli {

using CommandResult = tl::expected<int, Problems>;

CommandResult run_command(const CommandLine& line, const std::vector<std::string>& words);
CommandResult plan_command(const CommandLine& line);
CommandResult validate_command(const CommandLine& line);
CommandResult topo_command(const CommandLine& line);

}  // namespace muster::cli
