// Inputs and outputs of a run: found before the plan, brought about before the ranks, looked after
// beside them.
#pragma once

#include <memory>

#include "launcher/cli/run_preparation.h"
#include "launcher/data/mounts.h"
#include "launcher/exec/companion.h"

namespace muster::cli {

// Reads datastores.yaml and looks at what this machine has for the config's inputs and outputs.
tl::expected<void, Problems> look_at_data(const CommandLine& line, LoadedRun& run);

// The mounts and links of the plan, not started yet; a null pointer when there are none.
std::unique_ptr<data::Mounts> make_mounts(const PreparationContext& context);

// The mounts beside the ranks.
class MountsCompanion : public exec::Companion {
 public:
  explicit MountsCompanion(data::Mounts& mounts) : mounts_(mounts) {}
  bool owns(pid_t pid) const override { return mounts_.owns(pid); }
  Result<> check() override { return mounts_.check(); }

 private:
  data::Mounts& mounts_;
};

// Takes them away; a run that may have lost data has not succeeded.
void end_mounts(data::Mounts& mounts, const plan::LaunchPlan& plan, plan::RunOutcome& outcome);

}  // namespace muster::cli
