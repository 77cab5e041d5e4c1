// What a node is told about the whole run, so that it can plan its own part as the head planned it.
//
// The placement of a node depends on its own inventory and its count of ranks alone, so every node
// makes its own plan with make_plan(); the head makes one of all nodes.  Digests are compared.
#pragma once

#include <string>
#include <vector>

namespace muster::plan {

struct LaunchPlan;

// Lists of all nodes in variables and files stop here: beyond, they are left out.
inline constexpr int kMostNodesListed = 1024;

struct NodePart {
  int node_rank = 0;
  int node_count = 1;
  int world_size = 1;
  int first_rank = 0;
  int rank_count = 1;  // of this node
  int process_count_per_node = 1;
  std::string master_address;  // rank 0's node, as this node reaches it
  std::string own_address;
  std::string interface;      // its name on this node
  std::string socket_family;  // "AF_INET6", or ""
  // By node rank; empty for more nodes than kMostNodesListed.
  std::vector<std::string> node_addresses = {};
  std::vector<int> node_cores = {};  // allowed ones
  std::vector<int> node_rank_counts = {};
};

// What the head tells the node of that rank: of its plan of all nodes.
NodePart part_of(const LaunchPlan& plan, int node_rank);

// Of the ranks of one node in a plan: what must be the same wherever it was planned.
std::string placement_digest(const LaunchPlan& plan, int node_rank);

}  // namespace muster::plan
