// How the time between a stop from outside and the launcher's own end is shared out.  Pure.
#pragma once

#include <algorithm>
#include <chrono>

namespace muster::exec {

// Whoever asked for the stop kills what is left when the budget is over: so every stage ends before
// the next one's share begins, and the last one before the budget does.
struct StopStages {
  using Time = std::chrono::steady_clock::time_point;

  Time grace_until;    // then SIGKILL
  Time drain_until;    // then streams are cut, and what does not react is given up
  Time results_until;  // then results that are not taken yet stay where they are

  static StopStages from(Time now, std::chrono::milliseconds budget) {
    return {now + budget * 60 / 100, now + budget * 80 / 100, now + budget * 90 / 100};
  }

  void shift(std::chrono::steady_clock::duration by) {
    grace_until += by;
    drain_until += by;
    results_until += by;
  }
};

}  // namespace muster::exec
