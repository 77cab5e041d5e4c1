#include "collector/store/store_bound.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::store {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr StallClock::Time kNow{};

BoundDecision decide(const StoreBound& bound, const std::vector<BoundedStream>& streams) {
  return decide_room(bound, streams, StallClock(), kNow);
}

BoundedStream of(StreamKind kind, std::uint64_t size) {
  return {.kind = kind, .size = size};
}

TEST(StoreBound, NothingHappensBelowIt) {
  const StoreBound bound{.max_size = 64 * kMiB};
  const auto decision = decide(bound, {of(StreamKind::kStdout, 64 * kMiB)});
  EXPECT_THAT(decision.freed, IsEmpty());
  EXPECT_THAT(decision.dropped, IsEmpty());
}

TEST(StoreBound, WhatACollectorHasGoesFirstAndNoMoreThanThat) {
  const StoreBound bound{.max_size = 64 * kMiB};
  BoundedStream stream = of(StreamKind::kStdout, 70 * kMiB);
  stream.durable = stream.received = 60 * kMiB;
  const auto decision = decide(bound, {stream});
  ASSERT_THAT(decision.freed, SizeIs(1));
  EXPECT_EQ(decision.freed[0].from, 0U);
  EXPECT_EQ(decision.freed[0].to, 14 * kMiB);
  EXPECT_THAT(decision.dropped, IsEmpty());
  EXPECT_EQ(decision.kept, 56 * kMiB);
}

TEST(StoreBound, TheOldestUndeliveredBytesGoNext) {
  const StoreBound bound{.max_size = 64 * kMiB};
  BoundedStream stream = of(StreamKind::kStdout, 100 * kMiB);
  stream.durable = 4 * kMiB;
  stream.received = 5 * kMiB;
  const auto decision = decide(bound, {stream});
  ASSERT_THAT(decision.freed, SizeIs(1));
  EXPECT_EQ(decision.freed[0].to, 4 * kMiB);
  ASSERT_THAT(decision.dropped, SizeIs(1));
  EXPECT_EQ(decision.dropped[0].from, 5 * kMiB);  // what may still be lost there stays here
  EXPECT_LE(decision.kept, 57 * kMiB);
}

TEST(StoreBound, WhatWasLeftBetweenDropsIsCountedAndFreed) {
  const StoreBound bound{.max_size = 64 * kMiB};
  OffsetRanges gone;
  gone.add(40 * kMiB, 60 * kMiB);
  BoundedStream stream = of(StreamKind::kStdout, 90 * kMiB);
  stream.gone = gone.all();
  EXPECT_EQ(stream.kept(), 70 * kMiB);
  stream.durable = stream.received = 80 * kMiB;
  const auto decision = decide(bound, {stream});
  ASSERT_THAT(decision.freed, SizeIs(1));
  EXPECT_EQ(decision.freed[0].from, 0U);
  EXPECT_EQ(decision.freed[0].to, 14 * kMiB);
  EXPECT_THAT(decision.dropped, IsEmpty());
}

TEST(StoreBound, WhatTheCollectorMayStillLoseGoesWhenNothingElseIsLeft) {
  const StoreBound bound{.max_size = 64 * kMiB};
  BoundedStream stream = of(StreamKind::kStdout, 80 * kMiB);
  stream.durable = 2 * kMiB;
  stream.received = 78 * kMiB;
  const auto decision = decide(bound, {stream});
  EXPECT_LE(decision.kept, 56 * kMiB);
  ASSERT_THAT(decision.dropped, SizeIs(2));
  EXPECT_EQ(decision.dropped[0].from, 78 * kMiB);
  EXPECT_EQ(decision.dropped[1].from, 2 * kMiB);
}

TEST(StoreBound, WhoKeepsMostGivesFirst) {
  const StoreBound bound{.max_size = 64 * kMiB};
  const auto decision =
      decide(bound, {of(StreamKind::kStdout, 60 * kMiB), of(StreamKind::kStdout, 6 * kMiB)});
  ASSERT_THAT(decision.dropped, SizeIs(1));
  EXPECT_EQ(decision.dropped[0].stream, 0U);
}

TEST(StoreBound, MetricsEventsAndStderrHaveAReserve) {
  const StoreBound bound{.max_size = 64 * kMiB};
  auto decision =
      decide(bound, {of(StreamKind::kStdout, kMiB), of(StreamKind::kStderr, 10 * kMiB),
                     of(StreamKind::kMetrics, 5 * kMiB), of(StreamKind::kStdout, 80 * kMiB)});
  ASSERT_THAT(decision.dropped, SizeIs(1));
  EXPECT_EQ(decision.dropped[0].stream, 3U);
  // A flood of stderr takes its own.
  decision = decide(bound, {of(StreamKind::kStderr, 80 * kMiB), of(StreamKind::kMetrics, kMiB)});
  ASSERT_THAT(decision.dropped, SizeIs(1));
  EXPECT_EQ(decision.dropped[0].stream, 0U);
  EXPECT_GE(decision.kept, bound.reserve());
}

TEST(StoreBound, TheNewestBytesAndTheIndexStay) {
  const StoreBound bound{.max_size = kMiB};
  const std::vector<BoundedStream> streams(16, of(StreamKind::kStdout, 300 << 10));
  const auto decision = decide(bound, streams);
  for (const Room& room : decision.dropped) EXPECT_LE(room.to, (300U - 256U) << 10);
  EXPECT_THAT(decide(bound, {of(StreamKind::kIndex, 8 * kMiB)}).dropped, IsEmpty());
}

TEST(StoreBound, RanksWaitWhileTheirBudgetLasts) {
  const StoreBound bound{.max_size = 64 * kMiB, .blocks = true, .stall_budget = 1s};
  const std::vector<BoundedStream> full{of(StreamKind::kStdout, 65 * kMiB)};
  StallClock stalled;
  auto decision = decide_room(bound, full, stalled, kNow);
  EXPECT_TRUE(decision.wait);
  EXPECT_THAT(decision.dropped, IsEmpty());
  stalled.set_waiting(true, kNow);
  EXPECT_TRUE(decide_room(bound, full, stalled, kNow + 999ms).wait);
  decision = decide_room(bound, full, stalled, kNow + 1s);
  EXPECT_FALSE(decision.wait);
  EXPECT_THAT(decision.dropped, SizeIs(1));
}

TEST(StoreBound, WhoWaitsGoesOnWithSomeRoom) {
  const StoreBound bound{.max_size = 64 * kMiB, .blocks = true, .stall_budget = 1s};
  StallClock stalled;
  stalled.set_waiting(true, kNow);
  EXPECT_TRUE(
      decide_room(bound, std::vector{of(StreamKind::kStdout, 60 * kMiB)}, stalled, kNow).wait);
  EXPECT_FALSE(
      decide_room(bound, std::vector{of(StreamKind::kStdout, 56 * kMiB)}, stalled, kNow).wait);
}

TEST(StoreBound, TheBudgetIsForTheWholeRun) {
  StallClock stalled;
  stalled.set_waiting(true, kNow);
  stalled.set_waiting(false, kNow + 300ms);
  stalled.set_waiting(true, kNow + 5s);
  EXPECT_EQ(stalled.waited(kNow + 6s), 1300ms);
}

TEST(StoreBound, WhateverComesNothingIsGivenUpThatNeedNotBe) {
  std::mt19937_64 random(7);
  const auto below = [&](std::uint64_t limit) { return random() % (limit + 1); };
  const StreamKind kinds[] = {StreamKind::kStdout, StreamKind::kStderr, StreamKind::kMetrics,
                              StreamKind::kIndex, StreamKind::kLog};
  for (int round = 0; round < 5000; ++round) {
    const StoreBound bound{.max_size = kMiB + below(100 * kMiB)};
    std::vector<BoundedStream> streams;
    std::vector<OffsetRanges> gone_before(9);
    for (std::uint64_t i = 0; i < 1 + below(8); ++i) {
      BoundedStream stream;
      stream.kind = kinds[below(4)];
      stream.size = below(40 * kMiB);
      stream.received = below(stream.size);
      stream.durable = below(stream.received);
      OffsetRanges& gone = gone_before[i];
      if (below(1) == 0) gone.add(0, below(stream.durable));
      for (std::uint64_t holes = below(3); holes > 0; --holes) {
        const std::uint64_t from = below(stream.size);
        gone.add(from, from + below(stream.size - from));
      }
      stream.gone = gone.all();
      streams.push_back(stream);
    }
    std::uint64_t kept = 0;
    for (const BoundedStream& stream : streams) kept += stream.kept();
    const auto decision = decide(bound, streams);
    std::uint64_t gone = 0;
    bool has_room_to_give = false;
    for (const Room& room : decision.freed) {
      const BoundedStream& stream = streams[room.stream];
      ASSERT_LE(room.to, stream.durable);
      ASSERT_EQ(bytes_outside(stream.gone, room.from, room.to), room.to - room.from);
      gone += room.to - room.from;
    }
    for (const Room& room : decision.dropped) {
      const BoundedStream& stream = streams[room.stream];
      ASSERT_LT(room.from, room.to);
      ASSERT_GE(room.from, stream.durable);
      ASSERT_EQ(bytes_outside(stream.gone, room.from, room.to), room.to - room.from);
      ASSERT_LE(room.to + StoreBound::kNewest, stream.size);
      ASSERT_NE(stream.kind, StreamKind::kIndex);
      gone += room.to - room.from;
      const bool of_reserve = stream.kind != StreamKind::kStdout;
      has_room_to_give |= !of_reserve && room.from < stream.received;
    }
    ASSERT_EQ(decision.kept, kept - gone);
    // What may still be lost there went only because all else that could had gone.
    for (std::size_t i = 0; has_room_to_give && i < streams.size(); ++i) {
      if (streams[i].kind != StreamKind::kStdout || streams[i].size < StoreBound::kNewest) continue;
      OffsetRanges after(streams[i].gone);
      for (const auto* rooms : {&decision.freed, &decision.dropped}) {
        for (const Room& room : *rooms) {
          if (room.stream == i) after.add(room.from, room.to);
        }
      }
      ASSERT_LE(
          bytes_outside(after.all(), streams[i].received, streams[i].size - StoreBound::kNewest),
          2 * StoreBound::kStep);
    }
    if (kept <= bound.max_size) {
      ASSERT_EQ(gone, 0U);
    }
    if (!decision.dropped.empty()) {
      ASSERT_GE(decision.kept + 8 * (StoreBound::kStep + kMiB), bound.max_size / 8 * 7);
    }
  }
}

}  // namespace
}  // namespace muster::store
