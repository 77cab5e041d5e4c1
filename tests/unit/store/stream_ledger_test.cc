#include "collector/store/stream_ledger.h"

#include "tests/support/scratch.h"

namespace muster::store {
namespace {

class StreamLedgerTest : public test::ScratchTest {
 protected:
  std::filesystem::path path() const { return scratch() / "streams.jsonl"; }
  StreamRecords records() const {
    auto read = read_ledger(path());
    EXPECT_TRUE(read);
    return read ? *read : StreamRecords();
  }
};

TEST_F(StreamLedgerTest, SaysWhatWasRecorded) {
  EXPECT_TRUE(records().empty()) << "there is none yet";
  StreamLedger ledger(path());
  ledger.gap("a", {100, std::nullopt, gap_reason::kDiskFull});
  ledger.gap("a", {100, 150, gap_reason::kDiskFull});
  ledger.gap("a", {20, 30, gap_reason::kOverflow});
  ledger.end("a", {200, 140, "0123"});
  ledger.freed("a", {10, "tcp:host:1"});
  ledger.freed("a", {5, "tcp:other:1"});
  ledger.gap("b", {0, std::nullopt, gap_reason::kCut});
  ASSERT_TRUE(ledger.sync());
  EXPECT_FALSE(ledger.has_pending());

  const StreamRecords read = records();
  ASSERT_EQ(read.size(), 2U);
  const StreamRecord& a = read.at("a");
  EXPECT_EQ(a.gaps, (std::vector<Gap>{{20, 30, "overflow"}, {100, 150, "disk_full"}}));
  EXPECT_EQ(a.end, (LedgerEnd{200, 140, "0123"}));
  EXPECT_EQ(a.freed, (FreedRange{10, "tcp:host:1"})) << "freed does not go back";
  EXPECT_EQ(a.missing(200), 60U);
  EXPECT_EQ(a.missing(120), 30U);
  EXPECT_EQ(read.at("b").gaps, (std::vector<Gap>{{0, std::nullopt, "cut"}}));
  EXPECT_EQ(read.at("b").missing(1000), 0U);
}

TEST_F(StreamLedgerTest, ATornLineCostsOnlyItself) {
  StreamLedger(path()).gap("a", {1, 2, "overflow"});
  const std::string whole = read(path());
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    write("streams.jsonl", whole.substr(0, cut));
    StreamLedger(path()).gap("b", {3, 4, "overflow"});
    const StreamRecords after = records();
    ASSERT_EQ(after.count("b"), 1U) << cut;
    ASSERT_EQ(after.at("b").gaps.size(), 1U);
    // Without its last byte the line is whole: the next record gave it its end.
    ASSERT_EQ(after.count("a"), cut + 1 == whole.size() ? 1U : 0U) << cut;
  }
}

TEST_F(StreamLedgerTest, OtherLinesArePassedOver) {
  write("streams.jsonl",
        "\n[1]\nnull\n{}\n{\"stream\":3,\"gap\":{\"from\":0,\"to\":1,\"reason\":\"x\"}}\n"
        "{\"stream\":\"a\",\"gap\":{\"from\":-1,\"to\":1,\"reason\":\"x\"}}\n"
        "{\"stream\":\"a\",\"gap\":{\"from\":5,\"to\":1,\"reason\":\"x\"}}\n"
        "{\"stream\":\"a\",\"gap\":7}\n{\"stream\":\"a\",\"end\":{\"length\":1.5,\"stored\":0}}\n");
  EXPECT_TRUE(records().empty());
}

TEST_F(StreamLedgerTest, NamesNeedNotBeText) {
  const std::string name = "outputs/\xff\xfe";
  StreamLedger(path()).gap(name, {1, 2, "overflow"});
  EXPECT_EQ(records().count(name), 1U);
}

TEST_F(StreamLedgerTest, WhatCannotBeWrittenWaits) {
  StreamLedger ledger(scratch() / "folder" / "streams.jsonl");
  ledger.gap("a", {1, 2, "overflow"});
  ledger.gap("b", {1, 2, "overflow"});
  EXPECT_TRUE(ledger.has_pending());
  EXPECT_FALSE(ledger.flush());
  ASSERT_TRUE(make_directories(scratch() / "folder"));
  EXPECT_TRUE(ledger.flush());
  EXPECT_FALSE(ledger.has_pending());
  const auto read = read_ledger(scratch() / "folder" / "streams.jsonl");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->size(), 2U);
}

TEST(StreamRecord, OverlappingGapsAreCountedOnce) {
  StreamRecord record;
  record.gaps = {{0, 10, "x"}, {5, 8, "x"}, {7, 20, "x"}, {30, std::nullopt, "x"}};
  EXPECT_EQ(record.missing(100), 20U);
}

}  // namespace
}  // namespace muster::store
