// What must, or should, be the same on all nodes of a run: a table of the differences.  Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster.pb.h"

namespace muster::cluster {

// Names of the facts of a Join (protocol::Fact) that are compared by a rule of their own.  Others
// warn.
inline constexpr const char* kConfigFact = "config";  // a hash of its bytes
inline constexpr const char* kSourceFact = "source";  // a hash of the tree; none: it lacks it
inline constexpr const char* kInterpreterFact = "interpreter";  // "python3.11"
inline constexpr const char* kMpiFact = "Open MPI";  // "4.1.4"; of runs with mpirun alone
inline constexpr const char* kNcclFact = "NCCL";     // "2.18.3"
inline constexpr const char* kCpuFact = "CPUs";      // "16 cores"
inline constexpr const char* kGpuFact = "GPUs";      // "8"

struct FactTable {
  std::string text;  // a line for each value that differs, and what to do; "" where nothing differs
  bool fatal = false;
  int exit_code = 0;  // with fatal: 65 config or source differ, 69 another thing
  std::map<int, std::string>
      refusals;  // with fatal: node rank, why that node does not fit the head
};

// `joins`: by node rank, the head's first.  Also looks at their software, hostnames and addresses.
FactTable compare_facts(const std::vector<const protocol::Join*>& joins);

// Launchers of one machine and one network say the same here.
std::string host_of(const protocol::Join& join);

}  // namespace muster::cluster
