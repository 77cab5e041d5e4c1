#include "collector/store/offset_ranges.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::store {
namespace {

using ::testing::ElementsAre;

TEST(OffsetRanges, ThoseThatMeetAreOne) {
  OffsetRanges ranges;
  ranges.add(10, 20);
  ranges.add(40, 50);
  ranges.add(20, 30);
  EXPECT_THAT(ranges.all(), ElementsAre(OffsetRange{10, 30}, OffsetRange{40, 50}));
  ranges.add(5, 5);
  ranges.add(25, 45);
  EXPECT_THAT(ranges.all(), ElementsAre(OffsetRange{10, 50}));
  ranges.add(0, 2);
  EXPECT_THAT(ranges.all(), ElementsAre(OffsetRange{0, 2}, OffsetRange{10, 50}));
}

TEST(OffsetRanges, WhatIsOutsideOfThem) {
  const OffsetRange ranges[] = {{10, 20}, {30, 40}};
  EXPECT_THAT(outside(ranges, 0, 50),
              ElementsAre(OffsetRange{0, 10}, OffsetRange{20, 30}, OffsetRange{40, 50}));
  EXPECT_THAT(outside(ranges, 15, 35), ElementsAre(OffsetRange{20, 30}));
  EXPECT_THAT(outside(ranges, 12, 18), ElementsAre());
  EXPECT_EQ(bytes_outside(ranges, 5, 32), 15U);
}

TEST(OffsetRanges, AreWhatASetOfOffsetsWouldBe) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    OffsetRanges ranges;
    std::vector<bool> in(64);
    for (int step = 0; step < 12; ++step) {
      const std::uint64_t from = random() % 64;
      const std::uint64_t to = from + random() % (65 - from);
      ranges.add(from, to);
      for (std::uint64_t at = from; at < to; ++at) in[at] = true;
      std::uint64_t missing = 0;
      for (const OffsetRange& piece : outside(ranges.all(), 0, 64)) {
        for (std::uint64_t at = piece.from; at < piece.to; ++at) ASSERT_FALSE(in[at]);
        missing += piece.to - piece.from;
      }
      ASSERT_EQ(missing, static_cast<std::uint64_t>(std::count(in.begin(), in.end(), false)));
    }
  }
}

}  // namespace
}  // namespace muster::store
