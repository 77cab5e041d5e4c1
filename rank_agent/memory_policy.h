// How the kernel chooses the NUMA node of a process's memory; children inherit it.
#pragma once

#include <string>

#include "base/cpu_set.h"

namespace muster::agent {

// Gives this process the policy "preferred", "strict" or "interleave" on those of the nodes that
// its cpuset allows.  What could not be had is returned as a note, "" when all was, or when nothing
// is lost without it because the cpuset leaves no other node.
std::string set_memory_policy(const std::string& policy, const CpuSet& nodes);

// The policy of this process as the kernel has it: "preferred:1", "bind:0-1", "interleave:0-3",
// "local", "default"; "" when it cannot be read.
std::string read_memory_policy();

}  // namespace muster::agent
