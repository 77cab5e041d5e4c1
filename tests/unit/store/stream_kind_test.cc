#include "collector/store/stream_kind.h"

#include <gtest/gtest.h>

namespace muster::store {
namespace {

TEST(StreamKind, IsToldByTheName) {
  EXPECT_EQ(kind_of("run.json"), StreamKind::kControl);
  EXPECT_EQ(kind_of("ranks/00003/attempt-0/stdout.log"), StreamKind::kStdout);
  EXPECT_EQ(kind_of("ranks/00003/attempt-0/stderr.log"), StreamKind::kStderr);
  EXPECT_EQ(kind_of("ranks/00003/attempt-0/metrics.jsonl"), StreamKind::kMetrics);
  EXPECT_EQ(kind_of("ranks/00003/attempt-0/stdout.log.index"), StreamKind::kIndex);
  EXPECT_EQ(kind_of("node_metrics/node-a.jsonl"), StreamKind::kMetrics);
  EXPECT_EQ(kind_of("events.jsonl"), StreamKind::kEvents);
  EXPECT_EQ(kind_of("launcher/node-a.log"), StreamKind::kLog);
  EXPECT_EQ(kind_of("outputs/model.pt"), StreamKind::kFile);
}

TEST(StreamKind, LeavesBookkeepingAtHome) {
  for (const auto* path : {".muster/streams.jsonl", ".reserve", "metrics.db", "metrics.db-wal",
                           "scratch/src/train.py", "ranks/00000/attempt-0/other", ".node/x", ""}) {
    EXPECT_EQ(kind_of(path), std::nullopt) << path;
  }
}

}  // namespace
}  // namespace muster::store
