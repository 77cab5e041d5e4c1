// Which node of a run this is, and where the head is: from flags and the scheduler's environment.
// Pure: what lies outside the environment comes in with `Surroundings`.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "muster/result.h"

namespace muster::cluster {

// What the command line says.
struct MembershipFlags {
  std::optional<int> nodes;               // --nodes
  std::string nodes_origin = "--nodes";   // or where the config says it
  std::optional<int> node_rank;           // --node-rank
  std::optional<std::string> rendezvous;  // --rendezvous HOST[:PORT], or file:PATH
};

// Where a launcher finds itself.
struct Surroundings {
  std::map<std::string, std::string> environment;
  std::string hostname;                // as the kernel has it
  std::vector<std::string> addresses;  // of this node's interfaces: "10.0.0.4"
  std::string node_file;               // contents of the file that PBS_NODEFILE names
  std::int64_t now = 0;                // seconds since 1970
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

// With --rendezvous and --node-rank the command line alone speaks, and a note says whose word is
// not used; else it and all schedulers must agree on count and rank.  Errors: kUsage: sources
// contradict each other (both origins are named), one makes no sense, or something is missing.
Result<Membership> membership_of(const MembershipFlags& flags, const Surroundings& around);

// "node rank 1 (SLURM_NODEID) of 3 (node_count, line 4), head gpu01 (…), port 20042 (…)".
std::string membership_text(const Membership& membership);

inline constexpr int kDefaultPort = 29400;

}  // namespace muster::cluster
