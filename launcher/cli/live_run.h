// A run as the commands meet it that talk to its launcher: status, cancel, attach.
#pragma once

#include <optional>
#include <string>

#include "launcher/cli/command_line.h"
#include "launcher/cli/find_run.h"
#include "launcher/exec/control_client.h"
#include "launcher/report/run_state.h"
#include "muster/result.h"

namespace muster::cli {

inline constexpr std::chrono::seconds kAnswerTimeout{5};

struct LiveRun {
  FoundRun found;
  report::RunState state;
  // Connected when the run goes on and its launcher can be reached.
  std::optional<exec::ControlClient> client;
  // Why not, when it goes on; with what to do.
  std::optional<Error> unreachable;

  bool goes_on() const {
    return state.phase == report::RunPhase::kRunning || state.phase == report::RunPhase::kUnknown;
  }
};

// The run of a command line.  Errors: no such run, its run.json cannot be read.
Result<LiveRun> open_live_run(const CommandLine& line);

// Looks again, at a run whose launcher has ended the connection: it has ended, or is lost.
Result<report::RunState> look_after_end(const LiveRun& run);

// Whether its launcher is stopped, as by Ctrl-Z: it answers nothing until it goes on.
bool launcher_stands_still(const LiveRun& run);

// A launcher that was reached and does not answer, or refuses.
Error no_answer(const LiveRun& run, Error error);

// The launcher is gone and did not say how the run ended.
Error lost_run(const LiveRun& run);

}  // namespace muster::cli
