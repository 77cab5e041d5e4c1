// Mistakes that the simulator must find (tests/simulation).  Each is compiled only into a copy of
// the state machines that belongs to a test; what users get has none of them and no way to switch
// one on.
#pragma once

#ifndef MUSTER_PLANTED_BUG
#define MUSTER_PLANTED_BUG 0
#endif

namespace muster::replication {

enum class PlantedBug {
  kNone = 0,
  kAckBeforeDurable = 1,
  kOffByOneOnResume = 2,
  kUnfenced = 3,
  kTrustsLengths = 4,  // after a loss of power: the simulated disk's own
};

constexpr bool is_planted(PlantedBug bug) {
  return bug == static_cast<PlantedBug>(MUSTER_PLANTED_BUG);
}

}  // namespace muster::replication
