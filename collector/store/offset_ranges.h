// Ranges of one stream's offsets, apart from each other and in order: what of it is not here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace muster::store {

struct OffsetRange {
  std::uint64_t from = 0;
  std::uint64_t to = 0;

  friend bool operator==(const OffsetRange&, const OffsetRange&) = default;
};

// What of [from, to) is in none of `ranges`, which are in order and apart from each other.
std::vector<OffsetRange> outside(std::span<const OffsetRange> ranges, std::uint64_t from,
                                 std::uint64_t to);
// The same, in bytes.
std::uint64_t bytes_outside(std::span<const OffsetRange> ranges, std::uint64_t from,
                            std::uint64_t to);

class OffsetRanges {
 public:
  OffsetRanges() = default;
  explicit OffsetRanges(std::span<const OffsetRange> ranges)
      : ranges_(ranges.begin(), ranges.end()) {}

  void add(std::uint64_t from, std::uint64_t to);
  bool empty() const { return ranges_.empty(); }
  // In order; those that met are one.
  std::span<const OffsetRange> all() const { return ranges_; }

 private:
  std::vector<OffsetRange> ranges_;
};

}  // namespace muster::store
