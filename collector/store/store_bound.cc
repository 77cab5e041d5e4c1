#include "collector/store/store_bound.h"

#include <algorithm>
#include <limits>

namespace muster::store {
namespace {

// Some room at once, so that not every look has something to do.
constexpr std::uint64_t kPartKept = 7;
constexpr std::uint64_t kParts = 8;

bool has_reserve(StreamKind kind) {
  return kind == StreamKind::kMetrics || kind == StreamKind::kEvents || kind == StreamKind::kStderr;
}

std::uint64_t pages_up(std::uint64_t offset) {
  return (offset + StoreBound::kStep - 1) / StoreBound::kStep * StoreBound::kStep;
}

std::uint64_t pages_down(std::uint64_t offset) {
  return offset / StoreBound::kStep * StoreBound::kStep;
}

// A stream, and what of it may go.
struct Share {
  std::size_t stream = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;  // as far as it may go
  std::uint64_t room() const { return to > from ? to - from : 0; }
};

// How much every share keeps at most, so that at least `wanted` bytes go: those that keep most give
// first.
std::uint64_t level_of(const std::vector<Share>& shares, std::uint64_t wanted) {
  std::vector<std::uint64_t> rooms;
  for (const Share& share : shares) rooms.push_back(share.room());
  std::sort(rooms.begin(), rooms.end(), std::greater<>());
  std::uint64_t gone = 0;
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    const std::uint64_t next = i + 1 < rooms.size() ? rooms[i + 1] : 0;
    const std::uint64_t step = (rooms[i] - next) * (i + 1);
    if (gone + step >= wanted) return rooms[i] - (wanted - gone + i) / (i + 1);
    gone += step;
  }
  return 0;
}

// Takes about `wanted` bytes of them; how much it was.
std::uint64_t take(const std::vector<Share>& shares, std::uint64_t wanted,
                   std::vector<Room>& taken) {
  if (wanted == 0) return 0;
  const std::uint64_t level = level_of(shares, wanted);
  std::uint64_t sum = 0;
  for (const Share& share : shares) {
    if (share.room() <= level) continue;
    const std::uint64_t to = std::min(pages_up(share.to - level), pages_down(share.to));
    if (to <= share.from) continue;
    taken.push_back({share.stream, share.from, to});
    sum += to - share.from;
  }
  return sum;
}

std::uint64_t kept_of(const BoundedStream& stream) {
  return stream.size > stream.kept_from ? stream.size - stream.kept_from : 0;
}

// As far as a stream may go: its newest bytes stay.
std::uint64_t limit_of(const BoundedStream& stream) {
  return stream.size > StoreBound::kNewest ? stream.size - StoreBound::kNewest : 0;
}

}  // namespace

void StallClock::set_waiting(bool waiting, Time now) {
  if (waiting_ == waiting) return;
  if (waiting_) sum_ = waited(now);
  waiting_ = waiting;
  since_ = now;
}

std::chrono::milliseconds StallClock::waited(Time now) const {
  if (!waiting_) return sum_;
  return sum_ + std::chrono::duration_cast<std::chrono::milliseconds>(now - since_);
}

BoundDecision decide_room(const StoreBound& bound, std::span<const BoundedStream> streams,
                          const StallClock& stalled, StallClock::Time now) {
  BoundDecision decision;
  std::uint64_t reserved = 0;  // kept of the streams that have a reserve
  for (const BoundedStream& stream : streams) {
    decision.kept += kept_of(stream);
    if (has_reserve(stream.kind)) reserved += kept_of(stream);
  }
  const std::uint64_t wanted_size = bound.max_size / kParts * kPartKept;
  // Who waits goes on only when there is some room.
  const std::uint64_t limit = stalled.is_waiting() ? wanted_size : bound.max_size;
  if (decision.kept <= limit) return decision;

  std::vector<std::uint64_t> kept_from;
  std::vector<Share> shares;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    kept_from.push_back(streams[i].kept_from);
    if (streams[i].kind == StreamKind::kIndex) continue;
    shares.push_back({i, streams[i].kept_from, std::min(limit_of(streams[i]), streams[i].durable)});
  }
  decision.kept -= take(shares, decision.kept - wanted_size, decision.freed);
  for (const Room& room : decision.freed) {
    kept_from[room.stream] = room.to;
    if (has_reserve(streams[room.stream].kind)) reserved -= room.to - room.from;
  }
  if (decision.kept <= limit) return decision;

  if (bound.blocks && stalled.waited(now) < bound.stall_budget) {
    decision.wait = true;
    return decision;
  }
  for (const bool of_reserve : {false, true}) {
    if (decision.kept <= bound.max_size) break;
    std::uint64_t wanted = decision.kept - wanted_size;
    if (of_reserve) {
      // The others have given what they can; these keep their reserve.
      const std::uint64_t beyond = reserved > bound.reserve() ? reserved - bound.reserve() : 0;
      wanted = std::min(wanted, beyond);
    }
    shares.clear();
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const BoundedStream& stream = streams[i];
      if (stream.kind == StreamKind::kIndex || has_reserve(stream.kind) != of_reserve) continue;
      shares.push_back({i, pages_up(std::max(kept_from[i], stream.received)), limit_of(stream)});
    }
    decision.kept -= take(shares, wanted, decision.dropped);
  }
  return decision;
}

}  // namespace muster::store
