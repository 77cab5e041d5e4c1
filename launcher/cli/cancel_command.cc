// `muster cancel`: asks a run's launcher to end it, and waits until it has.

#include <csignal>
#include <cstdio>

#include "launcher/cli/commands.h"
#include "launcher/cli/live_run.h"
#include "launcher/report/status_text.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

Error ended_already(const LiveRun& run, const std::string& how) {
  return Error{
      ErrorCode::kUsage,
      "run " + run.found.run_id + " " + how + ": " + report::outcome_sentence(run.state.view), "",
      std::nullopt};
}

// Until its launcher says that the record is complete, or is gone.
Result<report::RunState> wait_for_end(LiveRun& run) {
  auto state = run.client->watch(kAnswerTimeout);
  while (state && state->phase() != protocol::RunState::ENDED) {
    auto next = run.client->next_state(1h);
    if (!next) break;
    if (*next) state = std::move(**next);
  }
  return look_after_end(run);
}

}  // namespace

CommandResult cancel_command(const CommandLine& line) {
  if (line.words.empty()) {
    return problem(Error{ErrorCode::kUsage, "muster cancel ends the run that is named, and none is",
                         "`muster cancel RUN`, or `muster cancel latest`; `muster runs` lists them",
                         std::nullopt});
  }
  auto opened = open_live_run(line);
  if (!opened) return problem(std::move(opened).error());
  LiveRun& run = *opened;
  if (run.state.phase == report::RunPhase::kEnded) {
    return problem(ended_already(run, "has ended already"));
  }
  if (run.state.phase == report::RunPhase::kLost) return problem(lost_run(run));
  if (!run.client) return problem(*run.unreachable);

  if (launcher_stands_still(run)) {
    // As the shell's own `kill %1` does; else it would hear of this only after an `fg`.
    std::fprintf(stderr, "muster: run %s stands still (Ctrl-Z): it goes on, to end orderly\n",
                 run.found.run_id.c_str());
    ::kill(run.client->launcher_pid(), SIGCONT);
  }
  auto reply = run.client->cancel(line.has("now"), kAnswerTimeout);
  if (!reply) return problem(no_answer(run, std::move(reply).error()));
  const std::string id = run.found.run_id;
  if (reply->accepted()) {
    const std::string note = reply->note().empty() ? "" : ": " + reply->note();
    std::fprintf(stderr, "muster: run %s is asked to end%s\n", id.c_str(), note.c_str());
    if (line.has("no-wait")) return 0;
  }

  auto end = wait_for_end(run);
  if (!end) return problem(std::move(end).error());
  run.state = std::move(*end);
  if (run.state.phase == report::RunPhase::kLost) return problem(lost_run(run));
  if (run.state.phase != report::RunPhase::kEnded) {
    return problem(Error{ErrorCode::kInternal,
                         "the launcher of run " + id + " ended the connection, but not the run",
                         "look at it with `muster status " + id + "`", std::nullopt});
  }
  if (run.state.view.status != "cancelled") {
    return problem(ended_already(run, "had ended before it was cancelled"));
  }
  return print("run " + id + " " + report::outcome_sentence(run.state.view) + "\n");
}

}  // namespace muster::cli
