// `muster runs`: which runs there are, and what became of them.

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "collector/replication/upstream_file.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/find_run.h"
#include "launcher/cli/log_request.h"
#include "launcher/report/run_summary.h"
#include "launcher/report/runs_table.h"
#include "launcher/report/status_line.h"

namespace muster::cli {
namespace {

constexpr std::size_t kShownToPeople = 20;
constexpr std::size_t kAll = static_cast<std::size_t>(-1);

Result<std::size_t> limit_of(const CommandLine& line) {
  const auto text = line.text("limit");
  if (!text) return line.format == Format::kJson ? kAll : kShownToPeople;
  const auto number = parse_integer(*text);
  if (number && *number >= 0) return *number == 0 ? kAll : static_cast<std::size_t>(*number);
  return fail(ErrorCode::kUsage, line.as_given("limit") + " is no number of runs",
              "write a whole number; 0 shows all");
}

report::RunRow record_of(const FoundRun& run) {
  report::RunRow row{run.run_id, run.directory.root().string(), std::nullopt, ""};
  if (auto view = report::run_of_summary(run.summary)) {
    row.state = report::RunState{std::move(*view), report::RunPhase::kEnded};
    return row;
  }
  auto state = report::look_at_run(run.directory);
  if (state) {
    row.state = std::move(*state);
  } else {
    row.problem = state.error().message;
  }
  return row;
}

// What may be runs, for somebody who may look.
std::int64_t count_closed(const std::string& runs_dir) {
  namespace fs = std::filesystem;
  std::int64_t count = 0;
  std::error_code error;
  fs::directory_iterator at(runs_dir, error);
  if (error) return error == std::errc::permission_denied ? 1 : 0;
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    struct stat info {};
    const fs::path record = store::RunDirectory(at->path()).run_json();
    if (::stat(record.c_str(), &info) != 0 && errno == EACCES) ++count;
  }
  return count;
}

report::RunRow row_of(const FoundRun& run) {
  report::RunRow row = record_of(run);
  if (!row.state || !row.state->view.missing.undelivered) return row;
  // `muster sync` may have delivered it since.
  const auto upstream = replication::read_upstream(run.directory);
  if (upstream && *upstream && (*upstream)->complete) {
    row.state->view.missing.undelivered = false;
    row.state->view.missing.undelivered_bytes = 0;
  }
  return row;
}

}  // namespace

CommandResult runs_command(const CommandLine& line) {
  const auto limit = limit_of(line);
  if (!limit) return tl::unexpected<Problems>(Problems{limit.error()});
  const auto status = line.text("status");
  const auto now = std::chrono::system_clock::now();
  const auto since = parse_moment(line, "since", now);
  if (!since) return tl::unexpected<Problems>(Problems{since.error()});

  const std::vector<FoundRun> runs = list_runs(line.runs_dir);
  std::vector<report::RunRow> rows;
  std::size_t looked_at = 0;
  for (; looked_at < runs.size() && rows.size() < *limit; ++looked_at) {
    report::RunRow row = row_of(runs[looked_at]);
    // The newest come first, so that all that follow are older, too.
    if (*since && row.state && row.state->view.created_at < **since) break;
    if (!status || report::status_of(row) == *status) rows.push_back(std::move(row));
  }
  if (line.format == Format::kJson) return print(report::runs_json(rows, now));
  if (rows.empty()) {
    const auto all = static_cast<std::int64_t>(runs.size());
    if (all > 0 && *limit > 0) {
      std::fprintf(stderr, "muster: none of the %s in %s is such a one\n",
                   counted(all, "run").c_str(), line.runs_dir.c_str());
    } else {
      std::fprintf(stderr, "muster: no runs in %s\n", line.runs_dir.c_str());
    }
    if (const auto closed = count_closed(line.runs_dir); closed > 0) {
      std::fprintf(stderr, "muster: what may be %s there may not be opened by this user\n",
                   counted(closed, "run").c_str());
    }
    return 0;
  }
  const int columns = ::isatty(STDOUT_FILENO) == 1 ? report::terminal_columns(STDOUT_FILENO) : 0;
  CommandResult printed = print(report::runs_table(rows, now, columns));
  const std::size_t older = runs.size() - looked_at;
  if (older > 0 && ::isatty(STDERR_FILENO) == 1) {
    std::fprintf(stderr, "muster: and %zu older; --limit 0 shows all\n", older);
  }
  return printed;
}

}  // namespace muster::cli
