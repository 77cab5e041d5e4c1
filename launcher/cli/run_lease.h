// What a run takes of its node, and what others have of it: read before the plan is made, taken
// right after.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/cli/load_run.h"
#include "launcher/exec/leases.h"
#include "launcher/plan/launch_plan.h"

namespace muster::cli {

// "CPUs 0-3 and 2 GPUs of this node, leased since …"; "" for a run that has none here.
std::string lease_text(const std::string& run_id);

// Tells the inputs of the plan what other runs hold; nothing where the config wants no lease.
void look_at_leases(LoadedRun& run);

// From its making to the end of take() no other start of this user chooses places.
class LeaseTaking {
 public:
  // Tells the inputs of the plan what other runs hold.
  explicit LeaseTaking(LoadedRun& run);

  // For the launcher's life, or until it is released.  Where leases cannot be had the plan gets one
  // warning.
  exec::Lease take(plan::LaunchPlan& plan, const std::string& run_id);

 private:
  const LoadedRun& run_;
  std::optional<exec::LeaseDirectory> directory_;
  std::vector<std::string> around_;
  std::string problem_;       // others are not told
  std::string lock_problem_;  // others may choose at the same time
};

}  // namespace muster::cli
