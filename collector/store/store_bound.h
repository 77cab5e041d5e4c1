// What becomes of a run's stored streams when they may take no more room: a pure decision.
//
// First goes what a collector has on its disk, the longest backlog first.  When that is not enough,
// ranks wait (`block`, while the budget for it lasts), or the oldest undelivered bytes go: of the
// stream that keeps most, again and again, until it fits.  What a collector has and may still lose
// goes only when nothing else is left.  Metrics, events and stderr have a reserve that a flood of
// stdout cannot take, and of every stream the newest bytes stay, for whoever follows it.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "collector/store/offset_ranges.h"
#include "collector/store/stream_kind.h"

namespace muster::store {

struct BoundedStream {
  StreamKind kind = StreamKind::kLog;
  std::uint64_t size = 0;
  std::span<const OffsetRange> gone = {};  // takes no room any more; must outlive the decision
  std::uint64_t durable = 0;               // below it a collector has it on its disk
  // Below it a collector has it, and may still lose it: what lies between is given up last.
  std::uint64_t received = 0;

  std::uint64_t kept() const { return bytes_outside(gone, 0, size); }
};

struct StoreBound {
  static constexpr std::uint64_t kLargestReserve = 64U << 20;
  static constexpr std::uint64_t kNewest = 256U << 10;
  static constexpr std::uint64_t kStep = 4096;  // room is given back in pages

  std::uint64_t max_size = 0;
  bool blocks = false;
  std::chrono::milliseconds stall_budget{0};

  // For metrics, events and stderr, together.
  std::uint64_t reserve() const {
    return max_size / 4 < kLargestReserve ? max_size / 4 : kLargestReserve;
  }
};

// How long ranks have waited, in all; kept from one decision to the next.
class StallClock {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void set_waiting(bool waiting, Time now);
  bool is_waiting() const { return waiting_; }
  std::chrono::milliseconds waited(Time now) const;

 private:
  bool waiting_ = false;
  Time since_{};
  std::chrono::milliseconds sum_{0};
};

struct Room {
  std::size_t stream = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

struct BoundDecision {
  std::vector<Room> freed;    // a collector has them; some of it may have gone before
  std::vector<Room> dropped;  // they were all here, and nobody has them for certain any more
  bool wait = false;          // ranks wait until there is room
  std::uint64_t kept = 0;     // after it
};

BoundDecision decide_room(const StoreBound& bound, std::span<const BoundedStream> streams,
                          const StallClock& stalled, StallClock::Time now);

}  // namespace muster::store
