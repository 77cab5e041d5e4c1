// The console of `muster run` and `muster attach`, as the command line and the terminal want it.
#pragma once

#include "launcher/cli/command_line.h"
#include "launcher/report/console.h"

namespace muster::cli {

// Whether lines on it can be overprinted.
bool is_terminal(int fd);

report::ConsoleOptions console_options(const CommandLine& line, int world_size);

}  // namespace muster::cli
