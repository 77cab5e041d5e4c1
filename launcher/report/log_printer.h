// Prints stored streams: all that is there, or what comes as well.
#pragma once

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/report/log_stream.h"
#include "launcher/report/patient_writer.h"
#include "launcher/report/run_state.h"
#include "muster/result.h"

namespace muster::report {

class LogPrinter {
 public:
  static Result<LogPrinter> create(std::vector<LogSource> sources, LogOptions options,
                                   int stdout_fd, int stderr_fd);

  // What is there now.
  void print_stored();
  // And what comes, until the run has ended.  How it was then: ended, or lost.
  RunPhase follow(const store::RunDirectory& run);

  // Why stdout takes no more (EPIPE: its reader has seen enough), and why the first file that
  // cannot be read cannot; 0 when all is well.
  int output_failure() const { return reader_gone_ ? EPIPE : stdout_writer_.failure(); }
  std::optional<Error> input_failure() const;

 private:
  LogPrinter(std::vector<LogSource> sources, LogOptions options, int stdout_fd, int stderr_fd,
             Deadline never);

  bool working() const { return stdout_writer_.working(); }
  void look_at_ledger();
  void print_in_turn();
  // Up to `horizon`, if there is one.  Whether something was held back because of it.
  bool print_by_time(std::optional<plan::WallTime> horizon);
  bool print_block(LogStream& stream);
  void flush_lines();
  void write_out();

  std::unique_ptr<LogOptions> options_;  // the streams refer to it
  std::unique_ptr<Deadline> never_;      // the writers do
  int stdout_fd_;
  PatientWriter stdout_writer_;
  PatientWriter stderr_writer_;
  std::vector<std::unique_ptr<LogStream>> streams_;
  std::uint64_t ledger_size_ = 0;
  std::string buffer_;
  std::string output_;  // not written yet, for one side
  bool output_to_stderr_ = false;
  bool reader_gone_ = false;
};

}  // namespace muster::report
