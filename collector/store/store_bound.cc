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
  std::uint64_t to = 0;             // as far as it may go
  std::vector<OffsetRange> here{};  // and is here
  std::uint64_t room = 0;           // of these, in bytes

  static Share of(std::size_t stream, const OffsetRanges& gone, std::uint64_t from,
                  std::uint64_t to) {
    Share share{stream, to, outside(gone.all(), from, to)};
    for (const OffsetRange& piece : share.here) share.room += piece.to - piece.from;
    return share;
  }
  // The offset before which `wanted` of its bytes are, in whole pages.
  std::uint64_t end_of(std::uint64_t wanted) const {
    for (const OffsetRange& piece : here) {
      const std::uint64_t size = piece.to - piece.from;
      if (wanted <= size) return std::min(pages_up(piece.from + wanted), pages_down(to));
      wanted -= size;
    }
    return pages_down(to);
  }
};

// How much every share keeps at most, so that at least `wanted` bytes go: those that keep most give
// first.
std::uint64_t level_of(const std::vector<Share>& shares, std::uint64_t wanted) {
  std::vector<std::uint64_t> rooms;
  for (const Share& share : shares) rooms.push_back(share.room);
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

// Takes about `wanted` bytes of them, each range that was here by itself.
std::vector<Room> take(const std::vector<Share>& shares, std::uint64_t wanted) {
  std::vector<Room> taken;
  if (wanted == 0) return taken;
  const std::uint64_t level = level_of(shares, wanted);
  for (const Share& share : shares) {
    if (share.room <= level) continue;
    const std::uint64_t end = share.end_of(share.room - level);
    for (const OffsetRange& piece : share.here) {
      const std::uint64_t to = std::min(piece.to, end);
      if (piece.from < to) taken.push_back({share.stream, piece.from, to});
    }
  }
  return taken;
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
    const std::uint64_t kept = stream.kept();
    decision.kept += kept;
    if (has_reserve(stream.kind)) reserved += kept;
  }
  const std::uint64_t wanted_size = bound.max_size / kParts * kPartKept;
  // Who waits goes on only when there is some room.
  const std::uint64_t limit = stalled.is_waiting() ? wanted_size : bound.max_size;
  if (decision.kept <= limit) return decision;

  std::vector<OffsetRanges> gone;
  for (const BoundedStream& stream : streams) gone.emplace_back(stream.gone);
  const auto note = [&](const std::vector<Room>& rooms) {
    for (const Room& room : rooms) {
      gone[room.stream].add(room.from, room.to);
      decision.kept -= room.to - room.from;
      if (has_reserve(streams[room.stream].kind)) reserved -= room.to - room.from;
    }
  };

  std::vector<Share> shares;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const BoundedStream& stream = streams[i];
    if (stream.kind == StreamKind::kIndex) continue;
    shares.push_back(Share::of(i, gone[i], 0, std::min(limit_of(stream), stream.durable)));
  }
  decision.freed = take(shares, decision.kept - wanted_size);
  note(decision.freed);
  if (decision.kept <= limit) return decision;

  if (bound.blocks && stalled.waited(now) < bound.stall_budget) {
    decision.wait = true;
    return decision;
  }
  for (const bool of_reserve : {false, true}) {
    for (const bool also_received : {false, true}) {
      if (decision.kept <= bound.max_size) return decision;
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
        const std::uint64_t from = pages_up(also_received ? stream.durable : stream.received);
        shares.push_back(Share::of(i, gone[i], from, limit_of(stream)));
      }
      const std::vector<Room> dropped = take(shares, wanted);
      note(dropped);
      decision.dropped.insert(decision.dropped.end(), dropped.begin(), dropped.end());
    }
  }
  return decision;
}

}  // namespace muster::store
