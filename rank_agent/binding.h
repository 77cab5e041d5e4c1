// CPU affinity and memory policy of a rank.  The agent binds itself; the training process inherits.
//
// What cannot be had is told in words that are the same for all ranks where the reason is: a
// sandbox that forbids it forbids it to all of them, and that is told once.
#pragma once

#include <string>
#include <sys/types.h>

#include "node.pb.h"

namespace muster::agent {

// Applies what the spec asks for.  What cannot be had (a sandbox forbids it) is no reason not to
// train: it is returned as a note, "" when all was applied.
std::string apply_binding(const protocol::RankSpec& spec);

// The affinity mask of a process as the kernel has it, as a Linux list; "" when it cannot be read.
std::string read_affinity(pid_t pid);

}  // namespace muster::agent
