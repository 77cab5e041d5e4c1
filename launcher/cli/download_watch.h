// How far a download is: a line that lives on the terminal, if there is one; and whether somebody
// wants it to end.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/signals.h"
#include "launcher/report/status_line.h"
#include "muster/result.h"

namespace muster::cli {

// "3 of 12 files, 1.2 of 8.0 GiB, 512.0 MiB/s: ckpt/model.pt".  Pure.
struct DownloadState {
  std::uint64_t files = 0;
  std::uint64_t all_files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t all_bytes = 0;
  std::chrono::nanoseconds since{};
  std::string path = {};
};
std::string download_line(const DownloadState& state);

class DownloadWatch {
 public:
  // From then on Ctrl-C and SIGTERM are asked for with stopped().
  static Result<DownloadWatch> create(std::uint64_t files, std::uint64_t bytes);

  void begin(const std::string& path);
  void at(std::uint64_t bytes);  // of the current file
  void end(std::uint64_t bytes);
  void clear();  // before anything else is printed

  // kStopped when there was one.
  Result<> keep_on();
  std::optional<int> signal() const { return signal_; }

 private:
  explicit DownloadWatch(SignalFd signals);

  SignalFd signals_;
  std::optional<int> signal_;
  DownloadState state_;
  report::StatusLine line_;
  std::uint64_t complete_bytes_ = 0;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point next_ = began_;
};

}  // namespace muster::cli
