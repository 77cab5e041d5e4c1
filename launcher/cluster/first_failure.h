// Which of several failed ranks was the first, by clocks that are only known within bounds.  Pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace muster::cluster {

struct FailedRank {
  int rank = 0;
  int node_rank = 0;
  std::chrono::system_clock::time_point ended_at;  // by the head's clock, as far as that is known
  std::chrono::nanoseconds error{0};               // ended_at is off by this at most
};

struct FirstFailed {
  std::vector<int> ranks;  // one: the first; several: cannot be told apart, in order of rank
  std::chrono::nanoseconds apart{0};  // those that cannot be told apart, at most
  std::chrono::nanoseconds error{0};  // of a difference between two of them, at most
};

// Two ranks of one node are told apart by its clock.  Two of different nodes are told apart, and
// rightly, whenever they ended further apart than twice the sum of their errors, and often before;
// as long as the errors are bounds, the first is always among `ranks`.
FirstFailed first_failed(const std::vector<FailedRank>& failed);

// "cannot tell between ranks 3 and 9 which failed first: 0.80 ms apart by clocks that are known
// within 1.20 ms"; of one rank: "".
std::string in_words(const FirstFailed& first);

}  // namespace muster::cluster
