// What must be there before the ranks start.
//
// Each part is a function in a file of its own.  A failure ends the run before any rank is started;
// so does a stop.
#pragma once

#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/preparation.h"
#include "collector/store/run_directory.h"
#include "launcher/cli/load_run.h"
#include "launcher/cli/run_recorder.h"
#include "launcher/data/mounts.h"
#include "launcher/exec/runtime_directory.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/report/console.h"

namespace muster::cli {

struct PreparationContext {
  const LoadedRun& run;
  plan::LaunchPlan& plan;
  const store::RunDirectory& directory;
  const exec::RuntimeDirectories& runtime;
  RunRecorder& recorder;     // events, and the launcher's log
  report::Console& console;  // lines for a person
  StopSource& stops;
  std::unique_ptr<data::Mounts>& mounts;  // made here; they live for as long as the ranks
  std::vector<Fd>& held;  // what the run keeps for as long as it lasts: entries of the cache in use
};

Result<> prepare_run(const PreparationContext& context);

}  // namespace muster::cli
