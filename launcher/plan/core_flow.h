// How many cores of which domain each rank gets, as a transportation problem: every rank its quota,
// no domain more than it has, and as few cores as possible far from their rank's GPUs.
#pragma once

#include <optional>
#include <vector>

namespace muster::plan {

// Of a domain for a rank, in the score's terms: 1, 0.7 and 0.
enum class Nearness {
  kHome,       // a GPU of the rank is there
  kPackage,    // one is in the same package
  kRemote,     // none is near
  kUntold,     // nobody knows where the rank's GPUs are: every domain is as good
  kForbidden,  // not to be used
};

using CoreCounts = std::vector<std::vector<int>>;  // [rank][domain]

struct FlowProblem {
  std::vector<int> quotas;                      // [rank]
  std::vector<int> capacities;                  // [domain]
  std::vector<std::vector<Nearness>> nearness;  // [rank][domain]
  CoreCounts gpus;                              // [rank][domain]: how many of its GPUs are there
};

// The exact optimum.  Among equal ones, cores away from home are shared alike by the ranks (a
// synchronous step waits for the worst of them), and a rank's cores by the homes of its GPUs.
// nullopt when the quotas do not fit.
std::optional<CoreCounts> cheapest_flow(const FlowProblem& problem);

// `total` in shares in proportion to `weights`, by the largest remainder; ties go to the first.
// Every share is at least its `minimum` (empty: none has one), whose sum is at most `total`.
std::vector<int> apportion(int total, const std::vector<int>& weights,
                           const std::vector<int>& minimum = {});

}  // namespace muster::plan
