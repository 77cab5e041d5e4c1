// Whether a run has several nodes, and which of them this is.
#pragma once

#include <map>
#include <string>

#include "launcher/cli/command_line.h"
#include "launcher/cluster/membership.h"
#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::cli {

// One node unless the config (or --nodes) asks for several and --one-node does not put them on
// this one.  Errors: kUsage: sources contradict each other, or nothing says where the nodes meet.
Result<cluster::Membership> run_membership(const CommandLine& line, const config::RunConfig& config,
                                           const std::map<std::string, std::string>& environment);

}  // namespace muster::cli
