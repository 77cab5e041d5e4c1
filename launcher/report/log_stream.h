// One stored stream as `muster logs` shows it: from where to where, in lines or as it is, with its
// times.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "launcher/plan/run_outcome.h"
#include "launcher/report/console_text.h"
#include "launcher/report/followed_file.h"
#include "launcher/report/stream_times.h"

namespace muster::report {

struct LogSource {
  std::filesystem::path file;
  std::string prefix;           // "[3] "
  bool to_stderr = false;       // else to stdout
  bool times_in_lines = false;  // a log of Muster's own; else there may be an index
};

struct LogOptions {
  bool raw = false;         // bytes as they are stored, else lines that are safe to show
  bool merge = false;       // in order of time
  bool timestamps = false;  // before each line
  bool color = true;
  std::optional<plan::WallTime> since;  // lines that were complete then or later
  std::optional<plan::WallTime> until;  // … then or earlier
  std::optional<std::uint64_t> tail;    // the last lines of each stream
};

class LogStream {
 public:
  LogStream(LogSource source, const LogOptions& options);

  const LogSource& source() const { return source_; }
  const FollowedFile& file() const { return file_; }

  // Takes note of what has been stored by now.  The first time also decides where to begin: more is
  // to come when `growing`.
  void look(bool growing);

  // The time of what comes next, never earlier than what came before; nullopt: nothing is left.
  std::optional<plan::WallTime> next() const;
  std::optional<plan::WallTime> newest() const { return times_->newest(); }

  // Appends what the next block completes; a block has one time where times matter.  False: nothing
  // is left.
  bool read_block(std::string& buffer, std::string& output);
  // What has no newline yet becomes a line.
  void flush(std::string& output) { lines_.flush(output); }

  void close() { file_.close(); }

 private:
  void begin(bool growing);

  LogSource source_;
  const LogOptions& options_;
  FollowedFile file_;
  std::unique_ptr<StreamTimes> times_;
  ConsoleLines lines_;
  bool begun_ = false;
  std::uint64_t end_ = FollowedFile::kNoEnd;
  mutable plan::WallTime order_;
};

}  // namespace muster::report
