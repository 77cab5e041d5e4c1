// What `muster logs` is asked for, and which stored files that is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/cli/command_line.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/report/log_stream.h"
#include "launcher/report/read_run.h"
#include "muster/result.h"

namespace muster::cli {

enum class LogKind { kStdout, kStderr, kMetrics, kMpirun, kLauncher, kEvents };

struct LogRequest {
  std::vector<int> ranks;  // sorted, each once; empty: all
  std::vector<LogKind> kinds;
  std::optional<int> attempt;  // nullopt: the last one
  bool follow = false;
  bool prefix = true;
  report::LogOptions options;
};

// `now` is what spans of time go back from.  Errors: kUsage.
Result<LogRequest> read_log_request(const CommandLine& line, plan::WallTime now);

// The files of a run, in the order in which they are printed; they need not exist yet.  Errors:
// kUsage for a rank or an attempt that the run does not have, or a log that it does not keep.
Result<std::vector<report::LogSource>> log_sources(const LogRequest& request,
                                                   const store::RunDirectory& run,
                                                   const report::RunView& view);

// "10m" is ten minutes before now.  nullopt: the option was not given.
Result<std::optional<plan::WallTime>> parse_moment(const CommandLine& line,
                                                   const std::string& option, plan::WallTime now);

// What --stream takes a list of; out and err are stdout and stderr, too.
std::vector<std::string> stream_names();

// "0,2-3": sorted, each once.
Result<std::vector<int>> parse_rank_list(std::string_view text);

}  // namespace muster::cli
