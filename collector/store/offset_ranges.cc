#include "collector/store/offset_ranges.h"

#include <algorithm>

namespace muster::store {
namespace {

// Calls `tell` with each piece of [from, to) that is in none of them.
template <typename Tell>
void each_outside(std::span<const OffsetRange> ranges, std::uint64_t from, std::uint64_t to,
                  const Tell& tell) {
  for (const OffsetRange& range : ranges) {
    if (range.to <= from) continue;
    if (range.from >= to) break;
    if (range.from > from) tell(from, range.from);
    from = range.to;
  }
  if (from < to) tell(from, to);
}

}  // namespace

std::vector<OffsetRange> outside(std::span<const OffsetRange> ranges, std::uint64_t from,
                                 std::uint64_t to) {
  std::vector<OffsetRange> pieces;
  each_outside(ranges, from, to, [&](std::uint64_t begin, std::uint64_t end) {
    pieces.push_back({begin, end});
  });
  return pieces;
}

std::uint64_t bytes_outside(std::span<const OffsetRange> ranges, std::uint64_t from,
                            std::uint64_t to) {
  std::uint64_t bytes = 0;
  each_outside(ranges, from, to,
               [&](std::uint64_t begin, std::uint64_t end) { bytes += end - begin; });
  return bytes;
}

void OffsetRanges::add(std::uint64_t from, std::uint64_t to) {
  if (to <= from) return;
  // Those that it meets become one with it.
  const auto first = std::lower_bound(
      ranges_.begin(), ranges_.end(), from,
      [](const OffsetRange& range, std::uint64_t offset) { return range.to < offset; });
  auto last = first;
  for (; last != ranges_.end() && last->from <= to; ++last) {
    from = std::min(from, last->from);
    to = std::max(to, last->to);
  }
  ranges_.insert(ranges_.erase(first, last), {from, to});
}

}  // namespace muster::store
