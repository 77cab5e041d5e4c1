#include "launcher/data/transfer_progress.h"

#include "base/text.h"

namespace muster::data {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTold{500};

// "10,000": progress is read at a glance.
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

}  // namespace

std::string describe(const TransferState& state) {
  switch (state.phase) {
    case TransferState::Phase::kListing: return grouped(state.listed) + " files found";
    case TransferState::Phase::kWaiting: return "waiting for " + state.at;
    case TransferState::Phase::kCopying: break;
  }
  return grouped(state.files_done) + " of " + grouped(state.files) + " files, " +
         format_bytes(state.bytes_done) + " of " + format_bytes(state.bytes) + ", " +
         format_bytes(state.bytes_per_second) + "/s";
}

void TransferProgress::phase(TransferState::Phase phase, std::string_view where) {
  at(where);
  phase_ = phase;
  ++moves_;
}

void TransferProgress::total(std::uint64_t files, std::uint64_t bytes) {
  files_ = files;
  bytes_ = bytes;
}

void TransferProgress::listed(std::string_view path) {
  ++listed_;
  at(path);
}

void TransferProgress::at(std::string_view path) {
  const std::lock_guard lock(mutex_);
  at_ = path;
}

void TransferProgress::done_so_far(std::uint64_t files, std::uint64_t bytes) {
  files_done_ = files;
  bytes_done_ = bytes;
}

TransferState TransferProgress::state() const {
  TransferState state;
  state.phase = phase_;
  state.listed = listed_;
  state.files = files_;
  state.bytes = bytes_;
  state.files_done = files_done_;
  state.bytes_done = bytes_done_;
  const std::lock_guard lock(mutex_);
  state.at = at_;
  return state;
}

TransferWatch::TransferWatch(const TransferProgress& progress,
                             std::chrono::milliseconds stall_timeout,
                             std::function<void(const TransferState&)> say,
                             std::function<void(const TransferState&)> stalled)
    : progress_(progress),
      stall_timeout_(stall_timeout),
      say_(std::move(say)),
      stalled_(std::move(stalled)),
      thread_([this] { watch(); }) {}

TransferWatch::~TransferWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  end_.notify_all();
  thread_.join();
}

void TransferWatch::watch() {
  std::uint64_t seen = progress_.marks();
  std::uint64_t bytes_before = progress_.state().bytes_done;
  auto moved_at = Clock::now();
  auto told_at = Clock::now();
  std::unique_lock lock(mutex_);
  while (!end_.wait_for(lock, std::min(kTold, stall_timeout_ / 4), [this] { return ending_; })) {
    const auto now = Clock::now();
    TransferState state = progress_.state();
    const std::uint64_t marks = progress_.marks();
    if (marks != seen || state.phase == TransferState::Phase::kWaiting) {
      moved_at = now;
    } else if (now - moved_at >= stall_timeout_) {
      stalled_(state);
      return;
    }
    if (marks == seen || now - told_at < kTold) continue;
    const std::uint64_t bytes =
        state.bytes_done > bytes_before ? state.bytes_done - bytes_before : 0;
    const auto seconds = std::chrono::duration<double>(now - told_at).count();
    state.bytes_per_second = static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds);
    bytes_before = state.bytes_done;
    told_at = now;
    seen = marks;
    say_(state);
  }
}

}  // namespace muster::data
