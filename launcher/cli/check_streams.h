// Whether what a config and a command line say of a collector can be, as far as no connection is
// needed to know.
#pragma once

#include "launcher/cli/command_line.h"
#include "launcher/config/problems.h"
#include "launcher/config/run_config.h"

namespace muster::cli {

config::Problems check_streams(const config::Streams& streams, const CommandLine& line,
                               bool several_nodes = false);

}  // namespace muster::cli
