// Writes to a terminal, pipe or file that may block for as long as it likes, and can still be told
// to stop.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string_view>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::report {

// "Be done by then": set once by one thread, waited for by another.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<Deadline> create();
  Deadline(Deadline&& other) noexcept : event_(std::move(other.event_)), at_(other.at_.load()) {}

  void set(Clock::time_point at);
  bool is_set() const { return at_.load(std::memory_order_acquire) != kNever; }
  bool passed() const;

  int fd() const { return event_.get(); }  // readable from set() on

  // For poll(): -1 before set(), then what is left.
  int remaining_milliseconds() const;

 private:
  static constexpr Clock::rep kNever = Clock::duration::max().count();

  explicit Deadline(Fd event) : event_(std::move(event)) {}

  Fd event_;
  std::atomic<Clock::rep> at_ = kNever;
};

class PatientWriter {
 public:
  // Neither the descriptor nor its flags become ours: other processes share them.
  PatientWriter(int fd, const Deadline& deadline);

  // Waits as long as the other side needs, but not beyond the deadline.  Nothing is written any
  // more once a write has failed.
  void write(std::string_view bytes);

  // The other side went away or refuses bytes: the errno.  0 while it works.
  int failure() const { return failure_; }
  bool working() const { return failure_ == 0; }

  // Bytes were left out because of the deadline.
  bool cut() const { return cut_; }

 private:
  bool wait_until_writable();

  int fd_;
  const Deadline& deadline_;
  bool never_blocks_;
  int failure_ = 0;
  bool cut_ = false;
};

}  // namespace muster::report
