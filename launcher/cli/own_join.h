// What this node says of itself to the other nodes of its run.
#pragma once

#include <memory>

#include "cluster.pb.h"
#include "collector/replication/run_token.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/load_run.h"
#include "launcher/cluster/membership.h"
#include "launcher/plan/node_part.h"
#include "muster/result.h"

namespace muster::cli {

protocol::Join own_join(const LoadedRun& run, const cluster::Membership& membership);

// The keys of --token-file; an Error where the run has several nodes, no token, and no --insecure.
Result<std::shared_ptr<const replication::TokenKeys>> cluster_keys(const CommandLine& line);

protocol::Part part_message(const plan::NodePart& part);
plan::NodePart part_from(const protocol::Part& message);

}  // namespace muster::cli
