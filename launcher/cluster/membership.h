// Which node of a run this is, and where the head is: from flags and the scheduler's environment.
// Pure.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "muster/result.h"

namespace muster::cluster {

// What the command line says; each wins over the environment.
struct MembershipFlags {
  std::optional<int> nodes;               // --nodes
  std::string nodes_origin = "--nodes";   // or where the config says it
  std::optional<int> node_rank;           // --node-rank
  std::optional<std::string> rendezvous;  // --rendezvous HOST[:PORT], or file:PATH
};

// A value and whose it is: "SLURM_NNODES", "--nodes".
template <typename T>
struct Told {
  T value{};
  std::string origin;
};

struct Membership {
  std::string scheduler;  // "Slurm", "Kubernetes Indexed Job", "--rendezvous"; "": one node
  Told<int> node_count{1, "one node"};
  Told<int> node_rank{0, "one node"};
  Told<std::string> head_address;  // a name or an address, without port; "" for one node
  Told<int> port;                  // 0: any free one, told by `address_file`
  std::optional<Told<std::string>>
      address_file;          // where the head writes its address, and others read it
  Told<std::string> job_id;  // "" where there is none
  std::optional<Told<std::chrono::seconds>>
      time_left;                   // until the scheduler ends the job, from now on
  std::vector<std::string> notes;  // what a person should know: what was ignored, and why

  bool several() const { return node_count.value > 1; }
  bool is_head() const { return node_rank.value == 0; }
};

// `environment`: the caller's; `hostname`: of this node.  Errors: kUsage: sources contradict each
// other (both origins are named), or one makes no sense.
Result<Membership> membership_of(const MembershipFlags& flags,
                                 const std::map<std::string, std::string>& environment,
                                 const std::string& hostname);

inline constexpr int kDefaultPort = 29400;

}  // namespace muster::cluster
