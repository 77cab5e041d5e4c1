// What must, or should, be the same on all nodes of a run: a table of the differences.  Pure.
#pragma once

#include <string>
#include <vector>

#include "cluster.pb.h"

namespace muster::cluster {

// Names of the facts of a Join (protocol::Fact) that are compared by a rule of their own.
inline constexpr const char* kConfigFact = "config";            // a hash of its bytes
inline constexpr const char* kSourceFact = "source";            // a hash of the tree
inline constexpr const char* kInterpreterFact = "interpreter";  // "Python 3.11.2"
inline constexpr const char* kMpiFact = "Open MPI";             // "4.1.4"
inline constexpr const char* kNcclFact = "NCCL";                // "2.18.3"
inline constexpr const char* kCpuFact = "CPUs";                 // "16 cores"
inline constexpr const char* kGpuFact = "GPUs";                 // "8"

// Differences between nodes that matter, as lines of a table; `fatal`: the run must not start.
struct FactTable {
  std::string text;  // "" where nothing differs
  bool fatal = false;
  int exit_code = 0;  // with fatal: 65 the config differs, 69 what the nodes have does
};

// `joins`: by node rank.  Also looks at their hostnames and software.
FactTable compare_facts(const std::vector<const protocol::Join*>& joins);

}  // namespace muster::cluster
