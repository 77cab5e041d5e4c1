// The words of the mpirun line, from one table per Open MPI version, each with its reason.
//
// Nothing that differs from run to run is in the line: socket, directories, ports and secrets
// travel in the environment, so that the planned line is the executed one, byte for byte.
#pragma once

#include <chrono>
#include <set>
#include <string>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::plan {

struct MpirunFacts {
  int rank_count = 1;
  int slots = 1;                // ranks that get cores of their own; never more than those cores
  bool oversubscribed = false;  // more ranks than cores
  bool running_as_root = false;
  std::chrono::milliseconds longest_grace{0};  // of the stop and failure grace periods
  std::string agent_executable;
  std::string rankfile = {};  // "": mpirun does not bind
  bool nobody_binds = false;

  // Of several nodes.
  int node_count = 1;
  std::string hostfile = {};
  std::vector<std::string> cidrs = {};       // where they reach each other by IPv4
  std::vector<std::string> interfaces = {};  // their names, each once
  bool ipv6 = false;                         // they reach each other by IPv6 alone
  bool rdma = false;                         // some node has a device for it
  bool shared_host = false;                  // some of them are launchers of one host
  // Parameters of Open MPI that others have set, without prefix: "btl_tcp_if_include".
  std::set<std::string> said = {};
};

// What mpirun calls the node of that rank; it resolves nowhere.
std::string mpi_node_name(int node_rank);

// A line for each node, with a slot for each of its ranks.
std::string hostfile_text(const LaunchPlan& plan);

// Fails with kResources for a version that the table does not have, and on several nodes for an
// agent whose path mpirun would take apart.
Result<MpirunCommand> mpirun_command(const MpirunIdentity& mpirun, const MpirunFacts& facts);

}  // namespace muster::plan
