// What a run is at now, as another process can tell.
#pragma once

#include <string>

#include "collector/store/run_directory.h"
#include "launcher/report/read_run.h"
#include "muster/result.h"

namespace muster::report {

enum class RunPhase {
  kRunning,
  kEnded,    // run.json says how
  kLost,     // its launcher is gone and did not write the end
  kUnknown,  // its launcher cannot be seen from here: another machine's
};

struct RunState {
  RunView view;
  RunPhase phase = RunPhase::kRunning;

  // "running", "stopping", "succeeded", "failed", "cancelled", "lost", "unknown"
  std::string word() const;
};

Result<RunState> look_at_run(const store::RunDirectory& run);

}  // namespace muster::report
