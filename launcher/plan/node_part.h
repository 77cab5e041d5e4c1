// What a node is told about the whole run, so that it can plan its own part as the head planned it.
//
// The placement of a node depends on its own inventory and its count of ranks alone, so every node
// makes its own plan with make_plan(); the head makes one of all nodes.  Digests are compared.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"

namespace muster::plan {

struct NodePart {
  int node_rank = 0;
  int node_count = 1;
  int world_size = 1;
  int first_rank = 0;
  int rank_count = 1;  // of this node
  int process_count_per_node = 1;
  std::string master_address;  // rank 0's node, as this node reaches it
  std::string own_address;
  std::string interface;                    // its name on this node
  std::string socket_family;                // "AF_INET6", or ""
  std::vector<std::string> node_addresses;  // by node rank; only where a variable names all of them
};

// Of the ranks of one node in a plan: what must be the same wherever it was planned.
std::string placement_digest(const LaunchPlan& plan, int node_rank);

}  // namespace muster::plan
