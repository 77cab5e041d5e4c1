#include "launcher/report/run_state.h"

namespace muster::report {

Result<RunState> look_at_run(const store::RunDirectory& run) {
  RunState state;
  MUSTER_TRY_ASSIGN(state.view, read_run(run));
  if (!state.view.is_unfinished()) {
    state.phase = RunPhase::kEnded;
    return state;
  }
  switch (launcher_life(state.view.launcher, run)) {
    case LauncherLife::kAlive: state.phase = RunPhase::kRunning; return state;
    case LauncherLife::kUnknown: state.phase = RunPhase::kUnknown; return state;
    case LauncherLife::kGone: break;
  }
  // It may have written the end and left after we had read.
  MUSTER_TRY_ASSIGN(state.view, read_run(run));
  state.phase = state.view.is_unfinished() ? RunPhase::kLost : RunPhase::kEnded;
  return state;
}

std::string RunState::word() const {
  switch (phase) {
    case RunPhase::kRunning:
    case RunPhase::kEnded: return view.status.empty() ? "unknown" : view.status;
    case RunPhase::kLost: return "lost";
    case RunPhase::kUnknown: return "unknown";
  }
  return "unknown";
}

}  // namespace muster::report
