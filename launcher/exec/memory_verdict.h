// Whether a rank was killed for memory, from what its agent found.  Pure.
//
// Proof, best first: the kernel's log names the process; the rank's memory cgroup counted an OOM
// kill and nobody else could be meant; it counted one and shares the cgroup; it counted none, so
// the signal came from elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

// Adds evidence and cause to a rank that failed by itself.  last_words: the end of its stderr,
// which may name a process that the kernel's log names too.  killed_with_it: ranks in the same
// cgroup that SIGKILL ended, itself included.
void judge_memory(const protocol::MemoryFacts& facts, std::string_view last_words,
                  int killed_with_it, plan::RankOutcome& rank);

}  // namespace muster::exec
