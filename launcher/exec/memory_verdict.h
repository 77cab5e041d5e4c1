// Whether a rank was killed for memory, from what its agent found.  Pure.
//
// Proof, best first: the kernel's log names the process; the rank's memory cgroup counted an OOM
// kill and nobody else could be meant; it counted one and shares the cgroup; it counted none, so
// the signal came from itself or from elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

// The run's ranks, which shared the memory with it.
struct Company {
  int killed_with_it = 1;          // ranks in the same cgroup that SIGKILL ended, itself included
  std::uint64_t peak_sum = 0;      // of what each had used at most, itself included
  std::uint64_t largest_peak = 0;  // of one of them
};

// Adds evidence and cause to a rank that failed by itself.  last_words: the end of its stderr,
// which may name a process that the kernel's log names too.
void judge_memory(const protocol::MemoryFacts& facts, std::string_view last_words,
                  const Company& company, plan::RankOutcome& rank);

}  // namespace muster::exec
