// One stored stream as `muster logs` shows it: from where to where, in lines or as it is, with its
// times, and what of it is missing.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/store/stream_ledger.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/report/console_text.h"
#include "launcher/report/followed_file.h"
#include "launcher/report/line_cutter.h"
#include "launcher/report/line_filter.h"
#include "launcher/report/log_json.h"
#include "launcher/report/stream_times.h"

namespace muster::report {

struct LogSource {
  std::filesystem::path file;
  std::string prefix;                      // "[3] "
  bool to_stderr = false;                  // else to stdout
  bool times_in_lines = false;             // a log of Muster's own; else there may be an index
  LogLabels labels = {};                   // for --json
  std::string path = {};                   // in the run directory: what the ledger calls it
  std::chrono::nanoseconds clock_ahead{};  // of its writer, before the collector's
};

struct LogOptions {
  bool raw = false;         // bytes as they are stored, else lines that are safe to show
  bool merge = false;       // in order of time
  bool timestamps = false;  // before each line
  bool color = true;
  std::optional<plan::WallTime> since;  // lines that were complete then or later
  std::optional<plan::WallTime> until;  // … then or earlier
  std::optional<std::uint64_t> tail;    // the last lines of each stream
  std::optional<std::uint64_t> head;    // the first ones
  std::optional<LineFilter> grep;       // only these; `tail` and `head` count them
  bool json = false;                    // an object for each line, on stdout
  std::filesystem::path ledger;         // that says what is missing; "": nobody does
};

class LogStream {
 public:
  LogStream(LogSource source, const LogOptions& options);

  const LogSource& source() const { return source_; }
  const FollowedFile& file() const { return file_; }

  // Takes note of what has been stored by now.  The first time also decides where to begin: more is
  // to come when `growing`.
  void look(bool growing);

  // What of the stream is missing, as known since; not needed when the bytes are shown as stored.
  void set_gaps(const std::vector<store::Gap>& gaps) { gaps_ = gaps; }

  // How long the stream is, where its end is on record: a file that is shorter has lost bytes.
  void set_length(std::uint64_t length) { length_ = length; }

  // The time of what comes next, never earlier than what came before; nullopt: nothing is left.
  std::optional<plan::WallTime> next() const;
  std::optional<plan::WallTime> newest() const { return times_->newest(); }

  // Appends what the next block completes; a block has one time where times matter.  False: nothing
  // is left.
  bool read_block(std::string& buffer, std::string& output);
  // The end: what has no newline yet becomes a line, and a gap without an end is told.
  void flush(std::string& output);

  void close() { file_.close(); }

 private:
  void begin(bool growing);
  // Whether lines are looked at one by one.
  bool picks() const { return options_.json || options_.grep || options_.head; }
  bool is_wanted(const CutLine& line);
  void show(const CutLine& line, std::string& output);
  bool has_enough() const { return options_.head && taken_ >= *options_.head; }
  std::string prefix() const;
  std::uint64_t last_matches_start(std::uint64_t start, std::uint64_t count);
  // The gap that the next byte lies in.
  const store::Gap* gap_here() const;
  // Where the next one begins.
  std::uint64_t gap_after(std::uint64_t offset) const;
  void tell(const store::Gap& gap, std::string& output);
  void tell_cut(std::string& output);

  LogSource source_;
  const LogOptions& options_;
  FollowedFile file_;
  std::unique_ptr<StreamTimes> times_;
  ConsoleLines lines_;
  LineCutter cutter_;
  ConsoleLines shown_;  // without prefix: what a filter sees
  std::string line_;    // the last one that it made
  std::uint64_t taken_ = 0;
  std::optional<plan::WallTime> time_;  // of the block that is read
  std::vector<store::Gap> gaps_;
  std::optional<std::uint64_t> told_open_gap_;
  std::uint64_t length_ = 0;
  bool told_cut_ = false;
  bool begun_ = false;
  std::uint64_t end_ = FollowedFile::kNoEnd;
  mutable plan::WallTime order_;
};

}  // namespace muster::report
