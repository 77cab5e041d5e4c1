// Whether the other end of a link is still there: asks when it has been silent, and gives it up.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace muster::replication {

class Liveness {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Verdict { kQuiet, kAsk, kDead };

  static constexpr std::chrono::milliseconds kAskAfter{5'000};
  // Silence that is seen by two ticks: a process that was stopped for a minute must not take its
  // own sleep for the other's.
  static constexpr std::chrono::milliseconds kSuspectAfter{18'000};
  static constexpr std::chrono::milliseconds kConfirm{1'500};

  explicit Liveness(Time now) : heard_(now) {}

  // A whole frame came.
  void heard(Time now);
  // Only a part of one, and so many of its bytes are here now.  A wrong bit in a frame's length
  // makes it wait for bytes that never come, which must not pass for life; a large frame on a slow
  // link must.
  void heard_part(Time now, std::size_t bytes);
  Verdict tick(Time now);
  Time deadline() const;

 private:
  static constexpr std::size_t kPart = 16U << 10;

  Time heard_;
  std::size_t part_ = 0;
  bool asked_ = false;
  std::optional<Time> suspected_;
};

// How far the other end's clock is ahead of ours, from the four times of a question and its answer:
// the best of the last few.
struct ClockSample {
  std::int64_t offset_ns = 0;
  std::int64_t round_trip_ns = 0;
};

// nullopt: the times contradict each other.
std::optional<ClockSample> clock_sample(std::int64_t sent, std::int64_t received,
                                        std::int64_t answered, std::int64_t back);

}  // namespace muster::replication
