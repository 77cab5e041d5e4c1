// `muster status`: how a run fares, from its launcher; else what its run.json says.

#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

#include <thread>

#include "base/error_text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/console_setup.h"
#include "launcher/cli/live_run.h"
#include "launcher/cli/run_lease.h"
#include "launcher/report/last_lines.h"
#include "launcher/report/status_line.h"
#include "launcher/report/status_text.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kRateInterval = 250ms;  // between two looks, for the share of a CPU
constexpr auto kWatchInterval = 1s;
constexpr std::size_t kLastLineBytes = 4096;

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

class StatusCommand {
 public:
  StatusCommand(const CommandLine& line, LiveRun run)
      : run_(std::move(run)),
        json_(line.format == Format::kJson),
        watch_(line.has("watch")),
        overprint_(watch_ && !json_ && is_terminal(STDOUT_FILENO)) {}

  CommandResult show() {
    if (!run_.client) return show_record();
    std::optional<protocol::RunStatus> before;
    while (true) {
      auto now = run_.client->status(kAnswerTimeout);
      if (!now) return show_end(std::move(now).error());
      const bool first = !before;
      if (!first) {
        if (auto shown = show_live(*now, std::move(before)); !shown || *shown != 0) return shown;
        if (!watch_) return 0;
      }
      before = std::move(*now);
      std::this_thread::sleep_for(first ? kRateInterval : kWatchInterval);
    }
  }

 private:
  report::StatusContext context() const {
    report::StatusContext context;
    // As `muster runs --json` has it: a program may not be where the user was.
    context.run_directory =
        json_ ? run_.found.directory.root().string() : run_.found.shown_directory;
    if (run_.goes_on()) context.lease = lease_text(run_.state.view.run_id);
    if (run_.state.phase != report::RunPhase::kEnded) {
      context.nodes = report::read_node_views(run_.found.directory);
    }
    winsize size{};
    if (is_terminal(STDOUT_FILENO) && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
      context.columns = size.ws_col;
      if (watch_) context.rows = size.ws_row;
    }
    return context;
  }

  // What is on the screen is replaced, line by line, so that nothing flickers.
  CommandResult print_screen(const std::string& text) {
    if (!overprint_) return print(text);
    std::string screen = cleared_ ? "\x1b[H" : "\x1b[2J\x1b[H";
    cleared_ = true;
    for (const char c : text) {
      if (c == '\n') screen += "\x1b[K";
      screen += c;
    }
    return print(screen + "\x1b[J");
  }

  CommandResult show_live(const protocol::RunStatus& now,
                          std::optional<protocol::RunStatus> before) {
    report::LiveStatus live{now, std::move(before), {}};
    for (const auto& rank : now.ranks()) {
      const auto& directory = run_.found.directory;
      const bool speaks = rank.stdout_bytes() > 0 || rank.stderr_bytes() == 0;
      const auto file =
          speaks ? directory.rank_stdout(rank.rank(), 0) : directory.rank_stderr(rank.rank(), 0);
      const auto lines = report::last_lines(file, 1, kLastLineBytes);
      live.last_lines.push_back(lines.empty() ? "" : lines.front());
    }
    const auto& view = run_.state.view;
    return print_screen(json_ ? report::status_json(view, live, context(), watch_)
                              : report::status_text(view, live, context()));
  }

  CommandResult show_record() {
    if (run_.unreachable) {
      // What is known is shown all the same.
      Error note = *run_.unreachable;
      std::fputs(format_error(note).c_str(), stderr);
    }
    return print_screen(json_ ? report::status_json(run_.state, context(), watch_)
                              : report::status_text(run_.state, context()));
  }

  CommandResult show_end(Error why) {
    if (why.code != ErrorCode::kInternal) return problem(no_answer(run_, std::move(why)));
    auto state = look_after_end(run_);
    if (!state) return problem(std::move(state).error());
    run_.state = std::move(*state);
    if (run_.goes_on()) run_.unreachable = std::move(why);
    return show_record();
  }

  LiveRun run_;
  bool json_;
  bool watch_;
  bool overprint_;
  bool cleared_ = false;
};

}  // namespace

CommandResult status_command(const CommandLine& line) {
  auto run = open_live_run(line);
  if (!run) return problem(std::move(run).error());
  return StatusCommand(line, std::move(*run)).show();
}

}  // namespace muster::cli
