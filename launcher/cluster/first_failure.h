// Which of several failed ranks was the first, by clocks that are only known within bounds.  Pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "launcher/cluster/head.h"

namespace muster::cluster {

struct FailedRank {
  int rank = 0;
  int node_rank = 0;
  std::chrono::system_clock::time_point ended_at;  // by its own node's clock
};

struct FirstFailed {
  std::vector<int> ranks;  // one: the first; several: cannot be told apart, in order of rank
  std::chrono::nanoseconds error{0};  // within which two of different nodes cannot be told apart
};

// `clocks`: by node rank; the head's own is zero.
FirstFailed first_failed(const std::vector<FailedRank>& failed,
                         const std::vector<ClockEstimate>& clocks);

// "rank 3", "cannot tell between ranks 3 and 9 (0.8 ms apart, and the clocks of node-b and node-c
// are known within 1.2 ms)"
std::string in_words(const FirstFailed& first);

}  // namespace muster::cluster
