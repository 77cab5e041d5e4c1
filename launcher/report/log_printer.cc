#include "launcher/report/log_printer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <queue>

#include "collector/store/stream_ledger.h"
#include "launcher/report/growth_watch.h"

// A round takes the sizes of all files and prints up to there.  In order of time, a round holds
// back what is newer than everything that the round before had seen: of two ranks that wrote at
// almost the same time, the bytes of the later one may be seen first.
namespace muster::report {
namespace {

using Clock = std::chrono::steady_clock;
using plan::WallTime;

constexpr Clock::duration kLongestPause = std::chrono::milliseconds(20);
constexpr Clock::duration kHeldBackFor = std::chrono::milliseconds(5);
constexpr auto kStateInterval = std::chrono::milliseconds(250);
constexpr auto kFilesMissing = std::chrono::milliseconds(30);
constexpr std::size_t kWriteAt = 256 * 1024;

// Whether nothing more will be stored.
bool is_over(const store::RunDirectory& run, RunPhase& phase) {
  const auto state = look_at_run(run);
  if (state) {
    phase = state->phase;
    return phase == RunPhase::kEnded || phase == RunPhase::kLost;
  }
  // It was removed, or a shared file system has a bad moment.
  std::error_code ignored;
  return !std::filesystem::exists(run.run_json(), ignored);
}

// A line is shown at once, and a flood costs a fifth of a core: four times the round before, which
// is long where there was much.
Clock::duration pause_after(Clock::duration round) {
  return std::min(4 * round, kLongestPause);
}

}  // namespace

Result<LogPrinter> LogPrinter::create(std::vector<LogSource> sources, LogOptions options,
                                      int stdout_fd, int stderr_fd) {
  MUSTER_TRY_ASSIGN(Deadline never, Deadline::create());
  return LogPrinter(std::move(sources), options, stdout_fd, stderr_fd, std::move(never));
}

LogPrinter::LogPrinter(std::vector<LogSource> sources, LogOptions options, int stdout_fd,
                       int stderr_fd, Deadline never)
    : options_(std::make_unique<LogOptions>(options)),
      never_(std::make_unique<Deadline>(std::move(never))),
      stdout_fd_(stdout_fd),
      stdout_writer_(stdout_fd, *never_),
      stderr_writer_(stderr_fd, *never_) {
  for (LogSource& source : sources) {
    streams_.push_back(std::make_unique<LogStream>(std::move(source), *options_));
  }
}

// Only what the files hold by now is shown then, and the gap before a byte is on record sooner than
// the byte is stored.
void LogPrinter::look_at_ledger() {
  if (options_->ledger.empty() || options_->raw) return;
  std::error_code missing;
  const auto size = std::filesystem::file_size(options_->ledger, missing);
  if (missing || size == ledger_size_) return;
  const auto records = store::read_ledger(options_->ledger);
  if (!records) return;
  ledger_size_ = size;
  for (const auto& stream : streams_) {
    const auto found = records->find(stream->source().path);
    if (found == records->end()) continue;
    stream->set_gaps(found->second.gaps);
    stream->set_length(found->second.end ? found->second.end->length : 0);
  }
}

void LogPrinter::print_stored() {
  look_at_ledger();
  if (options_->merge) {
    for (const auto& stream : streams_) stream->look(false);
    look_at_ledger();
    print_by_time(std::nullopt);
    flush_lines();
    return;
  }
  for (const auto& stream : streams_) {
    stream->look(false);
    look_at_ledger();
    while (working() && print_block(*stream)) {
    }
    stream->flush(output_);
    write_out();
    stream->close();
    if (!working()) return;
  }
}

RunPhase LogPrinter::follow(const store::RunDirectory& run) {
  GrowthWatch watch(stdout_fd_);
  watch.add_directory(run.root());
  look_at_ledger();
  RunPhase phase = RunPhase::kRunning;
  std::optional<WallTime> seen;  // the newest time of the round before
  auto state_at = Clock::time_point::min();
  while (true) {
    const auto began = Clock::now();
    bool over = false;
    if (watch.take_new_name() || began >= state_at) {
      over = is_over(run, phase);  // before the sizes: what was stored until then is in them
      state_at = began + kStateInterval;
    }
    std::optional<WallTime> newest;
    bool missing = false;
    bool grown = false;
    bool added = false;
    for (const auto& stream : streams_) {
      const bool was_open = stream->file().is_open();
      const std::uint64_t size = stream->file().size();
      stream->look(true);
      const bool open = stream->file().is_open();
      if (open && !was_open) watch.add_file(stream->source().file);
      added = added || open != was_open;
      missing = missing || !open;
      grown = grown || (was_open && stream->file().size() != size);
      newest = std::max(newest, options_->merge ? stream->newest() : std::nullopt);
    }
    if (grown) watch.note_growth();
    look_at_ledger();
    bool held_back = false;
    if (!options_->merge) {
      print_in_turn();
    } else {
      held_back =
          print_by_time(over ? std::nullopt : std::optional(seen.value_or(WallTime::min())));
      seen = newest;
    }
    if (over) flush_lines();
    write_out();
    if (over || !working()) return phase;

    reader_gone_ = !watch.pause(held_back ? kHeldBackFor : pause_after(Clock::now() - began));
    if (reader_gone_) return phase;
    // A file may have grown between the look at it and the watch on it.
    if (held_back || added) continue;
    reader_gone_ = !watch.wait(missing ? kFilesMissing : kStateInterval);
    if (reader_gone_) return phase;
  }
}

// A block of each in turn: a stream that is far behind does not hide the others.
void LogPrinter::print_in_turn() {
  for (bool more = true; more && working();) {
    more = false;
    for (const auto& stream : streams_) more = (working() && print_block(*stream)) || more;
  }
}

bool LogPrinter::print_by_time(std::optional<WallTime> horizon) {
  // Of one time in the order of the sources.
  using Next = std::pair<WallTime, std::size_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  const auto add = [&](std::size_t at) {
    if (const auto time = streams_[at]->next()) queue.emplace(*time, at);
  };
  for (std::size_t at = 0; at < streams_.size(); ++at) add(at);
  while (!queue.empty() && working()) {
    const auto [time, at] = queue.top();
    // What has no times of its own would look new for as long as it grows.
    if (horizon && time > *horizon && streams_[at]->newest()) return true;
    queue.pop();
    if (print_block(*streams_[at])) add(at);
  }
  return false;
}

bool LogPrinter::print_block(LogStream& stream) {
  if (stream.source().to_stderr != output_to_stderr_) write_out();
  output_to_stderr_ = stream.source().to_stderr;
  const bool any = stream.read_block(buffer_, output_);
  if (output_.size() >= kWriteAt) write_out();
  return any;
}

void LogPrinter::flush_lines() {
  for (const auto& stream : streams_) {
    if (stream->source().to_stderr != output_to_stderr_) write_out();
    output_to_stderr_ = stream->source().to_stderr;
    stream->flush(output_);
  }
  write_out();
}

void LogPrinter::write_out() {
  (output_to_stderr_ ? stderr_writer_ : stdout_writer_).write(output_);
  output_.clear();
}

std::optional<Error> LogPrinter::input_failure() const {
  for (const auto& stream : streams_) {
    const int failure = stream->file().failure();
    if (failure != 0) {
      const bool denied = failure == EACCES || failure == EPERM;
      return system_error(denied ? ErrorCode::kPermission : ErrorCode::kInternal,
                          "reading " + stream->source().file.string(), failure);
    }
  }
  return std::nullopt;
}

}  // namespace muster::report
