#include "launcher/exec/rank_streams.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::exec {
namespace {

constexpr std::size_t kReadSize = 1 << 20;
constexpr auto kRetryInterval = std::chrono::milliseconds(200);  // of a file that takes no more
constexpr int kReadsPerTurn = 4;  // then the other streams have theirs

// One buffer for all pumps: they run on one thread, and a byte leaves it in the turn it came in.
std::string& read_buffer() {
  static std::string buffer(kReadSize, '\0');
  return buffer;
}

}  // namespace

StreamPump::StreamPump(EventLoop& loop, Fd source, Source kind, store::StreamFile file,
                       std::string name, const StreamCallbacks& callbacks)
    : loop_(loop),
      source_(std::move(source)),
      kind_(kind),
      file_(std::move(file)),
      name_(std::move(name)),
      callbacks_(callbacks),
      is_urgent_(!name_.ends_with("/stdout.log")),
      watch_(loop.on_readable(source_.get(), [this] { read_some(); })) {
  file_.on_gap = [this](const store::Gap& gap) { callbacks_.gap(name_, gap); };
}

void StreamPump::read_some() {
  bool any = false;
  for (int turn = 0; turn < kReadsPerTurn && source_ && read_once(); ++turn) any = true;
  if (any) callbacks_.grown();
}

// False: nothing is there now, or the end was reached.
bool StreamPump::read_once() {
  std::string& buffer = read_buffer();
  const std::size_t most = most_to_read();
  if (most == 0) {
    pause();
    return false;
  }
  const ssize_t got = ::read(source_.get(), buffer.data(), most);
  if (got > 0) {
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    file_.append(bytes);
    if (driver_log_ != nullptr) driver_log_->append(driver_stream_, bytes);
    if (file_.in_trouble() && !retry_) file_in_trouble();
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  end();
  return false;
}

void StreamPump::hold(bool held) {
  if (!source_) return;
  held_ = held;
  if (held) {
    watch_ = EventLoop::Watch();
  } else if (!watch_ && !paused_at_) {
    watch_ = loop_.on_readable(source_.get(), [this] { read_some(); });
  }
}

std::size_t StreamPump::most_to_read() const {
  const bool blocks =
      callbacks_.policy.when_full == store::StreamPolicy::WhenFull::kBlock && waits_;
  return file_.in_trouble() && blocks ? file_.room() : kReadSize;
}

// The ranks go on: their pipe is read, and what there is no room for is counted.
void StreamPump::file_in_trouble() {
  callbacks_.trouble(name_, file_.problem());
  if (is_urgent_) file_.retry();  // the reserve is free now
  if (file_.in_trouble()) arm_retry();
}

void StreamPump::arm_retry() {
  retry_ = loop_.at(Clock::now() + kRetryInterval, [this] { try_again(); });
}

void StreamPump::try_again() {
  if (is_urgent_ || callbacks_.has_room()) file_.retry();
  const bool is_over = !file_.in_trouble();
  if (paused_at_ && Clock::now() - *paused_at_ > callbacks_.policy.stall_budget) waits_ = false;
  if (is_over) {
    waits_ = true;
    retry_ = EventLoop::Watch();
    callbacks_.recovered(name_);
    callbacks_.grown();
  } else {
    arm_retry();
  }
  if (most_to_read() > 0) resume();
}

// The rank waits in its write(), as it would for any slow reader.
void StreamPump::pause() {
  if (!paused_at_) paused_at_ = Clock::now();
  watch_ = EventLoop::Watch();
}

void StreamPump::resume() {
  if (!paused_at_ || !source_) return;
  paused_at_.reset();
  if (held_) return;
  watch_ = loop_.on_readable(source_.get(), [this] { read_some(); });
}

void StreamPump::finish(const std::string& reason) {
  if (!source_) return;
  waits_ = false;
  // More than a pipe can hold, but bounded: whoever still writes must not keep us here.
  for (int turn = 0; turn < kReadsPerTurn && source_ && read_once(); ++turn) {
  }
  if (!source_) return;
  cut_reason_ = reason;
  end();
}

void StreamPump::end() {
  watch_ = EventLoop::Watch();
  source_.reset();
  if (file_.in_trouble() && (is_urgent_ || callbacks_.has_room())) file_.retry();
  if (kind_ == Source::kPipe) callbacks_.ended();
}

void StreamPump::record_end(store::StreamLedger& ledger) {
  retry_ = EventLoop::Watch();
  if (file_.in_trouble() && callbacks_.has_room()) file_.retry();
  file_.finish();
  const store::LedgerEnd end = file_.end();
  if (!cut_reason_.empty()) {
    ledger.gap(name_, {end.length, std::nullopt, store::gap_reason::kCut});
  }
  ledger.end(name_, end);
  if (const auto index = file_.index_end()) {
    ledger.end(store::time_index_of(name_).string(), *index);
  }
}

std::vector<plan::StreamGap> StreamPump::gaps() const {
  std::vector<plan::StreamGap> gaps;
  for (const store::Gap& gap : file_.gaps()) {
    plan::StreamGap missing;
    missing.stream = name_;
    missing.offset = gap.from;
    if (gap.to) missing.length = *gap.to - gap.from;
    missing.reason = gap.reason;
    gaps.push_back(std::move(missing));
  }
  if (!cut_reason_.empty()) gaps.push_back({name_, file_.length(), std::nullopt, cut_reason_});
  return gaps;
}

Result<std::unique_ptr<RankStreams>> RankStreams::create(EventLoop& loop,
                                                         const store::RunDirectory& run, int rank,
                                                         int attempt, const std::string& fifo_path,
                                                         int pipe_size,
                                                         const StreamCallbacks& callbacks) {
  auto streams = std::make_unique<RankStreams>();
  const std::string directory = store::RunDirectory::attempt_directory(rank, attempt);

  const auto make_pump =
      [&](Fd source, StreamPump::Source kind,
          const std::filesystem::path& path) -> Result<std::unique_ptr<StreamPump>> {
    MUSTER_TRY_ASSIGN(store::StreamFile file, store::StreamFile::create(path));
    return std::make_unique<StreamPump>(loop, std::move(source), kind, std::move(file),
                                        directory + "/" + path.filename().string(), callbacks);
  };
  const auto make_pipe_pump =
      [&](Fd& write_end, const std::filesystem::path& path) -> Result<std::unique_ptr<StreamPump>> {
    MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
    // Another run may have taken the room by now; then the pipe stays as it is.
    if (pipe_size > 0) ::fcntl(pipe.read_end.get(), F_SETPIPE_SZ, pipe_size);
    write_end = std::move(pipe.write_end);
    return make_pump(std::move(pipe.read_end), StreamPump::Source::kPipe, path);
  };

  MUSTER_TRY_ASSIGN(streams->stdout_,
                    make_pipe_pump(streams->stdout_write_end_, run.rank_stdout(rank, attempt)));
  MUSTER_TRY_ASSIGN(streams->stderr_,
                    make_pipe_pump(streams->stderr_write_end_, run.rank_stderr(rank, attempt)));
  if (::mkfifo(fifo_path.c_str(), 0600) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "making the FIFO " + fifo_path));
  }
  // Opened for both directions: it opens without waiting and does not end with its first writer.
  MUSTER_TRY_ASSIGN(Fd fifo, open_file(fifo_path, O_RDWR | O_NONBLOCK));
  MUSTER_TRY_ASSIGN(streams->metrics_, make_pump(std::move(fifo), StreamPump::Source::kFifo,
                                                 run.rank_metrics(rank, attempt)));
  return streams;
}

void RankStreams::keep_driver_log(const std::filesystem::path& path) {
  driver_log_.emplace(path);
  stdout_->copy_to(*driver_log_, store::DriverLog::Stream::kStdout);
  stderr_->copy_to(*driver_log_, store::DriverLog::Stream::kStderr);
}

void RankStreams::close_write_ends() {
  stdout_write_end_.reset();
  stderr_write_end_.reset();
}

void RankStreams::hold(bool held) {
  stdout_->hold(held);
  stderr_->hold(held);
}

void RankStreams::cut(const std::string& reason) {
  stdout_->finish(reason);
  stderr_->finish(reason);
}

void RankStreams::record_ends(store::StreamLedger& ledger) {
  for (auto* pump : {stdout_.get(), stderr_.get(), metrics_.get()}) pump->record_end(ledger);
}

std::string RankStreams::problem() const {
  for (const auto* pump : {stdout_.get(), stderr_.get(), metrics_.get()}) {
    if (!pump->gaps().empty() && !pump->problem().empty()) return pump->problem();
  }
  return "";
}

std::vector<plan::StreamGap> RankStreams::gaps() const {
  std::vector<plan::StreamGap> gaps;
  for (const auto* pump : {stdout_.get(), stderr_.get(), metrics_.get()}) {
    for (plan::StreamGap& gap : pump->gaps()) gaps.push_back(std::move(gap));
  }
  return gaps;
}

}  // namespace muster::exec
