// `muster attach`: shows a run's output as `muster run` would, until the run ends or the user has
// seen enough.  The stored files are what it shows, so any number of attachments costs the run
// nothing.

#include <csignal>
#include <cstdio>
#include <poll.h>
#include <unistd.h>

#include "base/files.h"
#include "base/signals.h"
#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/console_setup.h"
#include "launcher/cli/live_run.h"
#include "launcher/report/status_text.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using report::Console;
using report::RunPhase;

constexpr auto kLookInterval = 30ms;  // at the files: nobody tells us that they have grown
constexpr auto kStatusInterval = 1s;
constexpr auto kConsolePatience = 5s;
constexpr auto kSuspendPatience = 300ms;
constexpr std::size_t kMaxReport = 1 << 20;

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

class Attachment {
 public:
  Attachment(const CommandLine& line, LiveRun run, SignalFd signals)
      : run_(std::move(run)),
        signals_(std::move(signals)),
        from_(line.has("from-start") ? Console::From::kStart : Console::From::kNow),
        console_(console_options(line, run_.state.view.world_size)) {}

  CommandResult show() {
    if (run_.client) {
      auto state = run_.client->watch(kAnswerTimeout);
      if (!state && state.error().code != ErrorCode::kInternal) {
        return problem(no_answer(run_, std::move(state).error()));
      }
      if (state) note(*state);
      follow();
      if (const auto signal_number = follow_until_the_end()) return detach(*signal_number);
      auto end = look_after_end(run_);
      if (!end) return problem(std::move(end).error());
      run_.state = std::move(*end);
    } else if (from_ == Console::From::kStart) {
      follow();
    }
    return conclude();
  }

 private:
  using Clock = std::chrono::steady_clock;

  void follow() {
    const auto& directory = run_.found.directory;
    for (int rank = 0; rank < run_.state.view.world_size; ++rank) {
      console_.follow(rank, directory.rank_stdout(rank, 0), directory.rank_stderr(rank, 0), from_);
    }
  }

  void note(const protocol::RunState& state) {
    state_ = state;
    show_status();
  }

  void show_status() {
    status_shown_at_ = Clock::now();
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    console_.set_status(
        report::status_line_text(state_, now - std::chrono::nanoseconds(state_.began_at())));
  }

  // The signal that ends the attachment; nullopt when the run or its launcher has ended.
  std::optional<int> follow_until_the_end() {
    while (state_.phase() != protocol::RunState::ENDED) {
      pollfd watched[] = {{signals_.get(), POLLIN, 0}, {run_.client->fd(), POLLIN, 0}};
      const auto milliseconds = static_cast<int>(kLookInterval / 1ms);
      if (::poll(watched, 2, milliseconds) < 0 && errno != EINTR) return std::nullopt;
      while (const auto info = signals_.read()) {
        if (!is_for_the_terminal(info->ssi_signo)) return static_cast<int>(info->ssi_signo);
      }
      if (watched[1].revents != 0) {
        auto next = run_.client->next_state(0ms);
        if (!next) return std::nullopt;
        if (*next) note(**next);
      }
      if (Clock::now() - status_shown_at_ >= kStatusInterval) show_status();
      console_.grown();
    }
    return std::nullopt;
  }

  // Ctrl-Z and the size of the terminal; they are no wish to leave.
  bool is_for_the_terminal(unsigned signal_number) {
    if (signal_number == SIGTSTP) {
      console_.suspend(kSuspendPatience);
      stop_this_process();
      console_.resume();
    } else if (signal_number == SIGWINCH) {
      console_.redraw();
    } else {
      return signal_number == SIGTTOU;
    }
    return true;
  }

  CommandResult detach(int signal_number) {
    const std::string& id = run_.found.run_id;
    console_.print("muster: detached; run " + id + " goes on (`muster attach " + id +
                   "` comes back, `muster cancel " + id + "` ends it)");
    console_.finish(kConsolePatience);
    return 128 + signal_number;
  }

  CommandResult conclude() {
    if (run_.state.phase == RunPhase::kEnded) {
      console_.finish(report(), kConsolePatience);
      return run_.state.view.exit_code.value_or(0);
    }
    console_.finish(kConsolePatience);
    if (run_.state.phase == RunPhase::kLost) return problem(lost_run(run_));
    return problem(run_.unreachable.value_or(
        Error{ErrorCode::kInternal,
              "the launcher of run " + run_.found.run_id + " ended the connection, but not the run",
              "`muster logs --follow` shows what is stored", std::nullopt}));
  }

  // As it was printed; of older runs, what run.json says.
  std::string report() const {
    const auto text = read_file(run_.found.directory.report_txt(), kMaxReport);
    if (text && !text->empty()) return *text;
    return "muster: run " + run_.found.run_id + " " + report::outcome_sentence(run_.state.view) +
           "\n";
  }

  LiveRun run_;
  SignalFd signals_;
  Console::From from_;
  protocol::RunState state_;
  Clock::time_point status_shown_at_;
  Console console_;
};

}  // namespace

CommandResult attach_command(const CommandLine& line) {
  auto run = open_live_run(line);
  if (!run) return problem(std::move(run).error());
  if (run->goes_on() && !run->client) return problem(*run->unreachable);
  auto signals =
      SignalFd::block(signal_set({SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGWINCH, SIGTTOU}));
  if (!signals) return problem(std::move(signals).error());
  return Attachment(line, std::move(*run), std::move(*signals)).show();
}

}  // namespace muster::cli
