// How a run fares, for `muster status` and the status line: what its launcher said, in one screen.
// Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "control.pb.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/report/node_view.h"
#include "launcher/report/read_run.h"
#include "launcher/report/run_state.h"

namespace muster::report {

// One look at a run that goes on.
struct LiveStatus {
  protocol::RunStatus now;
  std::optional<protocol::RunStatus> before;  // a moment earlier: what changed since is a rate
  std::vector<std::string> last_lines;        // [rank], safe to print; "" when there is none
};

struct StatusContext {
  std::string run_directory;         // as shown
  std::string lease = {};            // what the run has of its node: "CPUs 0-3"; "" nothing
  std::vector<NodeView> nodes = {};  // how they fare
  int columns = 0;                   // of the terminal; 0: none, lines may be long
  int rows = 0;                      // of the terminal; 0: as many as there are
};

// "running 4/4 for 12 min 03 s", "stopping (rank 1 exited with 7) for 1.2 s"
std::string phase_text(const protocol::RunState& state, plan::WallTime now);

// "4/4 ranks running, 2.1 s": the line at the bottom of a terminal.
std::string status_line_text(const protocol::RunState& state, std::chrono::nanoseconds elapsed);

// "succeeded after 12.3 s", "failed after 12.3 s: rank 2 exited with 7 (exit code 7, training)"
std::string outcome_sentence(const RunView& run);

// What is remarkable about a rank: "stopped", "stuck", "silent"; [rank].
std::vector<std::string> marks(const LiveStatus& live);

std::string status_text(const RunView& run, const LiveStatus& live, const StatusContext& context);
std::string status_json(const RunView& run, const LiveStatus& live, const StatusContext& context,
                        bool one_line);

// Without a launcher that answers: what run.json says.
std::string status_text(const RunState& state, const StatusContext& context);
std::string status_json(const RunState& state, const StatusContext& context, bool one_line);

}  // namespace muster::report
