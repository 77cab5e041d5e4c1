// `muster logs`: what a run's ranks, mpirun and Muster wrote.

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <sys/resource.h>
#include <unistd.h>

#include "launcher/cli/commands.h"
#include "launcher/cli/find_run.h"
#include "launcher/cli/log_request.h"
#include "launcher/report/log_printer.h"
#include "launcher/report/status_line.h"

namespace muster::cli {
namespace {

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

// Each stream takes up to two files, and a run may have thousands.
void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<int> print_logs(const FoundRun& run, const LogRequest& request) {
  MUSTER_TRY_ASSIGN(const report::RunView view, report::read_run(run.directory));
  MUSTER_TRY_ASSIGN(auto sources, log_sources(request, run.directory, view));
  raise_open_files();
  report::LogOptions options = request.options;
  options.ledger = run.directory.streams_jsonl();
  MUSTER_TRY_ASSIGN(auto printer, report::LogPrinter::create(std::move(sources), std::move(options),
                                                             STDOUT_FILENO, STDERR_FILENO));
  if (!request.follow) {
    printer.print_stored();
  } else if (printer.follow(run.directory) == report::RunPhase::kLost) {
    std::fprintf(stderr, "muster: the launcher of run %s is gone: no more will come\n",
                 run.run_id.c_str());
  }
  if (printer.output_failure() == EPIPE) return 128 + SIGPIPE;  // the reader has seen enough
  if (printer.output_failure() != 0) {
    return Failure(
        system_error(ErrorCode::kInternal, "writing to stdout", printer.output_failure()));
  }
  if (auto failure = printer.input_failure()) return Failure(std::move(*failure));
  return 0;
}

}  // namespace

CommandResult logs_command(const CommandLine& line) {
  auto request = read_log_request(line, std::chrono::system_clock::now());
  if (!request) return problem(std::move(request).error());
  request->options.color = report::color_wanted();
  auto run = find_run(line);
  if (!run) return problem(std::move(run).error());
  auto code = print_logs(*run, *request);
  if (!code) return problem(std::move(code).error());
  return *code;
}

}  // namespace muster::cli
