#include "launcher/cli/download_watch.h"

#include <cstdio>
#include <unistd.h>

#include "base/text.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kFirstLine = 300ms;  // most downloads are over before anybody wonders
constexpr auto kNextLine = 100ms;
constexpr auto kFirstRate = 1s;  // before, a rate says little

bool may_draw() {
  return ::isatty(STDERR_FILENO) == 1 && report::terminal_overprints() &&
         report::is_foreground(STDERR_FILENO);
}

}  // namespace

std::string download_line(const DownloadState& state) {
  std::string text = std::to_string(state.files) + " of " +
                     counted(static_cast<std::int64_t>(state.all_files), "file") + ", " +
                     format_bytes(state.bytes) + " of " + format_bytes(state.all_bytes);
  const double seconds = std::chrono::duration<double>(state.since).count();
  if (state.since >= kFirstRate) {
    text += ", " +
            format_bytes(static_cast<std::uint64_t>(static_cast<double>(state.bytes) / seconds)) +
            "/s";
  }
  return text + ": " + state.path;
}

Result<DownloadWatch> DownloadWatch::create(std::uint64_t files, std::uint64_t bytes) {
  MUSTER_TRY_ASSIGN(SignalFd signals, SignalFd::block(signal_set({SIGINT, SIGTERM, SIGHUP})));
  DownloadWatch watch(std::move(signals));
  watch.state_.all_files = files;
  watch.state_.all_bytes = bytes;
  watch.next_ += kFirstLine;
  return watch;
}

DownloadWatch::DownloadWatch(SignalFd signals)
    : signals_(std::move(signals)), line_(may_draw(), report::color_wanted()) {}

void DownloadWatch::begin(const std::string& path) {
  state_.path = path;
  at(0);
}

void DownloadWatch::at(std::uint64_t bytes) {
  state_.bytes = complete_bytes_ + bytes;
  const auto now = Clock::now();
  if (!line_.enabled() || now < next_) return;
  next_ = now + kNextLine;
  state_.since = now - began_;
  std::fputs(line_.show(download_line(state_), report::terminal_columns(STDERR_FILENO)).c_str(),
             stderr);
}

void DownloadWatch::end(std::uint64_t bytes) {
  complete_bytes_ += bytes;
  ++state_.files;
}

void DownloadWatch::clear() {
  std::fputs(line_.hide().c_str(), stderr);
}

Result<> DownloadWatch::keep_on() {
  if (!signal_) {
    if (const auto arrived = signals_.read()) signal_ = static_cast<int>(arrived->ssi_signo);
  }
  if (signal_) return fail(ErrorCode::kStopped, "interrupted");
  return {};
}

}  // namespace muster::cli
