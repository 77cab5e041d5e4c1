// Lines about strangers, of which there may be thousands in a second: some now, the others counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace muster::replication {

class LogGate {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The line to write, with what was left out since; nullopt: not this one.
  std::optional<std::string> pass(std::string line, Time now) {
    if (!window_ || now - *window_ >= kWindow) {
      if (left_out_ > 0) line += " (and " + std::to_string(left_out_) + " lines like it before)";
      window_ = now;
      written_ = left_out_ = 0;
    }
    if (++written_ <= kMost) return line;
    ++left_out_;
    return std::nullopt;
  }

 private:
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr std::uint64_t kMost = 10;

  std::optional<Time> window_;  // when it began
  std::uint64_t written_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace muster::replication
