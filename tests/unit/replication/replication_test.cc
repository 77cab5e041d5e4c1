// The two state machines against each other, without a network.

#include <gtest/gtest.h>

#include "collector/replication/wire.h"
#include "tests/unit/replication/memory_replica.h"

namespace muster::replication {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::StreamKind;

constexpr const char* kOut = "ranks/00000/attempt-0/stdout.log";
constexpr const char* kErr = "ranks/00000/attempt-0/stderr.log";

TEST(ReplicationTest, EveryByteArrivesAndBecomesDurable) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 3'000'000);
  pair.sender.ended(out, {3'000'000, "", true});
  EXPECT_EQ(pair.sender.unsent_bytes(), 3'000'000U);
  pair.connect();
  pair.settle();
  EXPECT_TRUE(pair.is_whole(kOut, 3'000'000));
  EXPECT_TRUE(pair.sender.watermarks(out).complete);
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_EQ(pair.sender.unsent_bytes(), 0U);
  EXPECT_EQ(pair.receiver.totals().bytes, 3'000'000U);
  EXPECT_EQ(pair.sender.totals().bytes_resent, 0U);
}

TEST(ReplicationTest, ReceivedComesBeforeDurable) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  ASSERT_TRUE(pair.talk());
  pair.pass(milliseconds(60));
  ASSERT_TRUE(pair.talk());
  EXPECT_EQ(pair.sender.watermarks(out).received, 1000U);
  EXPECT_EQ(pair.sender.watermarks(out).durable, 0U);
  pair.pass(seconds(1));
  ASSERT_TRUE(pair.talk());
  EXPECT_EQ(pair.sender.watermarks(out).durable, 1000U);
  EXPECT_FALSE(pair.sender.watermarks(out).complete);
}

TEST(ReplicationTest, ASenderWhoseRoomIsShortIsAcknowledgedSooner) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.sender.hurry(true);
  pair.connect();
  ASSERT_TRUE(pair.talk());
  pair.pass(milliseconds(60));
  ASSERT_TRUE(pair.talk());
  EXPECT_EQ(pair.sender.watermarks(out).durable, 1000U);
}

TEST(ReplicationTest, WhatIsMissingHereIsNotUnsent) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.sender.gap(out, {100, 700, "overflow"});
  EXPECT_EQ(pair.sender.unsent_bytes(), 400U);
  EXPECT_EQ(pair.sender.watermarks(out).unsent, 400U);
  pair.sender.gap(out, {0, 100, "overflow"});
  EXPECT_EQ(pair.sender.unsent_bytes(), 300U);
  pair.connect();
  pair.settle(20);
  EXPECT_EQ(pair.sender.unsent_bytes(), 0U);
}

TEST(ReplicationTest, AnEmptyStreamEndsToo) {
  Pair pair;
  const StreamNumber err = pair.add(kErr, StreamKind::kStderr);
  pair.connect();
  pair.settle(3);
  EXPECT_TRUE(pair.store.files.empty()) << "nothing is opened before there is something to tell";
  pair.sender.ended(err, {0, "", true});
  pair.settle(3);
  EXPECT_TRUE(pair.sender.watermarks(err).complete);
  EXPECT_EQ(pair.bytes(kErr), "");
}

// A conversation is recorded, and then cut after each byte of what the sender said; whatever had
// come until then, the next link ends with every byte there once.
TEST(ReplicationTest, GoesOnAfterACutAtAnyByte) {
  const auto prepare = [](Pair& pair) {
    const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 300);
    const StreamNumber err = pair.add(kErr, StreamKind::kStderr, 100);
    pair.sender.gap(out, {50, 80, "overflow"});
    pair.sender.ended(out, {300, "", true});
    pair.sender.ended(err, {100, "", true});
    pair.add("outputs/model", StreamKind::kFile, 200, true, 1);
    pair.sender.ended(2, {200, "", true});
    pair.sender.deleted("outputs/model");
  };
  Pair golden;
  prepare(golden);
  golden.connect();
  golden.settle(10);
  ASSERT_TRUE(golden.sender.all_complete());
  ASSERT_GT(golden.sent.size(), 800U);

  for (std::size_t cut = 0; cut <= golden.sent.size(); ++cut) {
    Pair pair;
    prepare(pair);
    pair.connect();
    std::size_t passed = 0;
    for (int round = 0; round < 10; ++round) {
      const LinkNumber link = pair.links.at(LinkRole::kLive);
      std::string out = pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now);
      out.resize(std::min(out.size(), cut - passed));
      passed += out.size();
      ASSERT_TRUE(pair.receiver.receive(link, out, pair.now));
      if (passed == cut) break;
      const std::string back = pair.receiver.take_output(link, 1U << 20, pair.now);
      ASSERT_TRUE(pair.sender.receive(LinkRole::kLive, back, pair.now));
      pair.pass(milliseconds(50));
    }
    pair.cut();
    pair.connect();
    pair.settle(12);
    ASSERT_TRUE(pair.sender.all_complete()) << "cut at " << cut;
    std::string expected = Pair::expected(kOut, 300);
    std::fill(expected.begin() + 50, expected.begin() + 80, '?');
    ASSERT_EQ(pair.bytes(kOut), expected) << "cut at " << cut;
    ASSERT_TRUE(pair.is_whole(kErr, 100)) << "cut at " << cut;
    ASSERT_TRUE(pair.is_whole("outputs/model", 200, 1)) << "cut at " << cut;
    ASSERT_EQ(pair.store.files.at(std::string(kOut) + "@0").gaps.size(), 1U) << "cut at " << cut;
  }
}

TEST(ReplicationTest, BytesMayComeOneByOne) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 5000);
  pair.sender.ended(out, {5000, "", true});
  pair.connect();
  for (int round = 0; round < 30; ++round) {
    for (const char byte : pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now)) {
      ASSERT_TRUE(pair.receiver.receive(pair.links.at(LinkRole::kLive), {&byte, 1}, pair.now));
    }
    for (const char byte :
         pair.receiver.take_output(pair.links.at(LinkRole::kLive), 1U << 20, pair.now)) {
      ASSERT_TRUE(pair.sender.receive(LinkRole::kLive, {&byte, 1}, pair.now));
    }
    pair.pass(milliseconds(20));
  }
  EXPECT_TRUE(pair.is_whole(kOut, 5000));
  EXPECT_TRUE(pair.sender.all_complete());
}

TEST(ReplicationTest, AGapIsToldWhereItIs) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.sender.gap(out, {600, 700, "disk_full"});
  pair.sender.gap(out, {0, 100, "overflow"});
  pair.sender.gap(out, {100, 200, "overflow"});
  pair.sender.gap(out, {50, 300, "cut"});
  pair.sender.ended(out, {1000, "", true});
  pair.connect();
  pair.settle();
  const auto& file = pair.store.files.at(std::string(kOut) + "@0");
  ASSERT_EQ(file.gaps.size(), 3U);
  EXPECT_EQ(file.gaps[0].from, 0U);
  EXPECT_EQ(file.gaps[0].to, 200U) << "two of one reason that touch are one";
  EXPECT_EQ(file.gaps[1].from, 200U) << "what is a gap already keeps its reason";
  EXPECT_EQ(file.gaps[1].reason, "cut");
  EXPECT_EQ(file.gaps[2].from, 600U);
  EXPECT_EQ(file.bytes.size(), 1000U);
  EXPECT_TRUE(pair.sender.all_complete());
}

TEST(ReplicationTest, WhatTheReceiverHasOfAGapStays) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  pair.settle();
  pair.sender.grown(out, 2000);
  pair.sender.gap(out, {0, 1500, "overflow"});
  pair.sender.ended(out, {2000, "", true});
  pair.settle();
  const auto& file = pair.store.files.at(std::string(kOut) + "@0");
  ASSERT_EQ(file.gaps.size(), 1U);
  EXPECT_EQ(file.gaps[0].from, 1000U);
  EXPECT_EQ(file.gaps[0].to, 1500U);
  EXPECT_EQ(file.bytes.substr(0, 1000), Pair::expected(kOut, 1000));
}

TEST(ReplicationTest, AnEndThatNobodyKnowsIsToldAsSuch) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 500);
  pair.sender.gap(out, {500, std::nullopt, "launcher_lost"});
  pair.sender.ended(out, {500, "", true});
  pair.connect();
  pair.settle();
  const auto& file = pair.store.files.at(std::string(kOut) + "@0");
  ASSERT_EQ(file.gaps.size(), 1U);
  EXPECT_FALSE(file.gaps[0].to);
  EXPECT_TRUE(pair.sender.watermarks(out).complete);
}

TEST(ReplicationTest, BytesThatOnlyTheReceiverHasCount) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  pair.settle();
  // The sender's machine lost its last pages.
  Sender again({"run", "node-0", "host", 0, 2}, pair.source, [] { return std::int64_t{1}; });
  StreamDescription stream;
  stream.path = kOut;
  stream.kind = StreamKind::kStdout;
  const StreamNumber number = again.add(stream);
  again.grown(number, 900);
  again.ended(number, {900, "", true});
  again.link_up(LinkRole::kLive, pair.now);
  const LinkNumber link = pair.receiver.link_up(again.writer(), LinkRole::kLive, pair.now);
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(pair.receiver.receive(link, again.take_output(LinkRole::kLive, 1U << 20, pair.now),
                                      pair.now));
    pair.pass(milliseconds(100));
    ASSERT_TRUE(again.receive(LinkRole::kLive, pair.receiver.take_output(link, 1U << 20, pair.now),
                              pair.now));
  }
  EXPECT_TRUE(again.watermarks(number).complete);
  EXPECT_EQ(pair.store.files.at(std::string(kOut) + "@0").end->length, 1000U);
  EXPECT_TRUE(pair.is_whole(kOut, 1000));
  (void)out;
}

TEST(ReplicationTest, ARolledBackReceiverGetsAGapForWhatWasFreed) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  pair.settle();
  ASSERT_EQ(pair.sender.watermarks(out).durable, 1000U);
  pair.sender.freed(out, 800);
  pair.cut();
  pair.store.files.clear();  // an older copy came back, without this stream
  pair.sender.grown(out, 1200);
  pair.sender.ended(out, {1200, "", true});
  pair.connect();
  pair.settle();
  const auto& file = pair.store.files.at(std::string(kOut) + "@0");
  ASSERT_EQ(file.gaps.size(), 1U);
  EXPECT_EQ(file.gaps[0].reason, "collector_rollback");
  EXPECT_EQ(file.gaps[0].to, 800U);
  EXPECT_EQ(file.bytes.substr(800), Pair::expected(kOut, 1200).substr(800));
  bool told = false;
  for (const SenderEvent& event : pair.sender.take_events()) {
    if (event.kind != SenderEvent::Kind::kRollback) continue;
    EXPECT_FALSE(told) << "twice";
    told = true;
    EXPECT_EQ(event.bytes, *file.gaps[0].to - file.gaps[0].from);
  }
  EXPECT_TRUE(told);
}

TEST(ReplicationTest, AFullDiskStopsAndGoesOn) {
  Pair pair;
  pair.store.full = true;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 500'000);
  pair.sender.ended(out, {500'000, "", true});
  pair.connect();
  pair.settle(30);
  EXPECT_EQ(pair.sender.watermarks(out).received, 0U);
  const std::uint64_t sent = pair.sender.totals().bytes_sent;
  pair.settle(100);
  EXPECT_EQ(pair.sender.totals().bytes_sent, sent) << "nothing is sent while there is no room";
  EXPECT_EQ(pair.sender.held_up(), "no room");
  pair.store.full = false;
  pair.settle(30);
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_EQ(pair.sender.held_up(), "");
  EXPECT_TRUE(pair.is_whole(kOut, 500'000));
}

TEST(ReplicationTest, AFailedSyncBringsTheBytesAgain) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 500'000);
  pair.connect();
  pair.settle();
  pair.store.sync_fails = true;
  pair.sender.grown(out, 900'000);
  pair.sender.ended(out, {900'000, "", true});
  pair.settle(20);
  EXPECT_FALSE(pair.sender.all_complete());
  EXPECT_EQ(pair.sender.watermarks(out).durable, 500'000U);
  pair.store.sync_fails = false;
  pair.settle(30);
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_TRUE(pair.is_whole(kOut, 900'000));
  EXPECT_GT(pair.sender.totals().bytes_resent, 0U);
}

TEST(ReplicationTest, AnOlderWriterIsFenced) {
  Pair pair({}, 5);
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  pair.settle();
  const store::Writer newer{"run", "node-0", "host", 0, 6};
  pair.receiver.link_up(newer, LinkRole::kLive, pair.now);
  pair.sender.grown(out, 2000);
  pair.settle();
  EXPECT_TRUE(pair.sender.superseded());
  EXPECT_EQ(pair.bytes(kOut).size(), 1000U);
  // And when it comes again.
  Pair older({}, 5);
  const LinkNumber link = pair.receiver.link_up(older.sender.writer(), LinkRole::kLive, pair.now);
  older.sender.link_up(LinkRole::kLive, pair.now);
  ASSERT_TRUE(older.sender.receive(LinkRole::kLive,
                                   pair.receiver.take_output(link, 1U << 20, pair.now), pair.now));
  EXPECT_TRUE(older.sender.superseded());
  EXPECT_FALSE(older.sender.take_closed().empty());
}

TEST(ReplicationTest, AStreamMovesToTheLinkThatOpensItAgain) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  pair.settle(3);
  // Only the sender has noticed that the connection is gone.
  pair.sender.link_down(LinkRole::kLive, pair.now);
  pair.sender.grown(out, 5000);
  pair.sender.ended(out, {5000, "", true});
  pair.connect();
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_TRUE(pair.is_whole(kOut, 5000));
  EXPECT_EQ(pair.store.handles.size(), 0U);
}

TEST(ReplicationTest, AnOpenThatComesLateDoesNotKeepTheStream) {
  Pair pair;
  pair.connect();
  ASSERT_TRUE(pair.talk());
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  const LinkNumber before = pair.links.at(LinkRole::kLive);
  const std::string late = pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now);
  ASSERT_FALSE(late.empty());
  pair.sender.link_down(LinkRole::kLive, pair.now);
  // Its next link's OPEN overtakes it.  (In the other role, or the receiver would end the one
  // before.)
  pair.sender.link_up(LinkRole::kLive, pair.now);
  const LinkNumber link = pair.receiver.link_up(pair.sender.writer(), LinkRole::kBulk, pair.now);
  pair.links[LinkRole::kLive] = link;
  ASSERT_TRUE(pair.talk(200));
  ASSERT_TRUE(pair.receiver.receive(before, late, pair.now));
  pair.sender.grown(out, 3000);
  pair.sender.ended(out, {3000, "", true});
  pair.settle(20);
  EXPECT_TRUE(pair.sender.watermarks(out).complete);
  EXPECT_TRUE(pair.is_whole(kOut, 3000));
}

TEST(ReplicationTest, ARefusedStreamDoesNotHoldUpTheOthers) {
  Pair pair;
  pair.store.refused = "outputs/../../x";
  const StreamNumber bad = pair.add("outputs/../../x", StreamKind::kFile, 10, true);
  pair.sender.ended(bad, {10, "", true});
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 10);
  pair.sender.ended(out, {10, "", true});
  StreamDescription last;
  last.path = "run.json";
  last.kind = StreamKind::kControl;
  last.whole = last.last = true;
  const StreamNumber run = pair.sender.add(last);
  pair.source.add(run, "run.json");
  pair.sender.grown(run, 20);
  pair.sender.ended(run, {20, "", true});
  pair.connect();
  pair.settle();
  std::vector<SenderEvent> events = pair.sender.take_events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [&](const SenderEvent& event) {
    return event.kind == SenderEvent::Kind::kRefused && event.stream == bad &&
           event.text == "the name is not allowed";
  }));
  EXPECT_TRUE(pair.sender.watermarks(run).complete);
  EXPECT_EQ(pair.store.order.back(), "end run.json");
}

TEST(ReplicationTest, GenerationsOfOnePathComeInOrder) {
  Pair pair;
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    const StreamNumber file =
        pair.add("outputs/model", StreamKind::kFile, 100 * generation, true, generation);
    pair.sender.ended(file, {100 * generation, "", generation != 2});
  }
  pair.sender.deleted("outputs/model");
  const StreamNumber after = pair.add("outputs/model", StreamKind::kFile, 50, true, 4);
  pair.sender.ended(after, {50, "", true});
  pair.connect();
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_EQ(pair.store.order, (std::vector<std::string>{"open outputs/model", "end outputs/model",
                                                        "open outputs/model", "end outputs/model",
                                                        "deleted outputs/model",
                                                        "open outputs/model", "end outputs/model"}))
      << "a generation that was given up before anybody heard of it is not told";
}

// Small files and new ones go first, but not before what has their name until then is gone.
TEST(ReplicationTest, ANameThatBecomesAFoldersIsToldInOrder) {
  Pair pair;
  const auto add = [&](const std::string& path, std::uint64_t size, std::uint64_t generation) {
    const StreamNumber file = pair.add(path, StreamKind::kFile, size, true, generation);
    pair.sender.ended(file, {size, "", true});
  };
  add("outputs/a", 2'000'000, 1);
  pair.sender.deleted("outputs/a");
  add("outputs/a/in", 10, 1);
  pair.sender.deleted("outputs/a/in");
  add("outputs/a", 20, 2);
  add("outputs/ab", 10, 1);
  pair.connect();
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  std::vector<std::string> order = pair.store.order;
  std::erase_if(order, [](const std::string& what) { return what.ends_with("ab"); });
  EXPECT_EQ(order,
            (std::vector<std::string>{"open outputs/a", "end outputs/a", "deleted outputs/a",
                                      "open outputs/a/in", "end outputs/a/in",
                                      "deleted outputs/a/in", "open outputs/a", "end outputs/a"}));
}

TEST(ReplicationTest, AWrongDigestIsTriedAgainAndThenGivenUp) {
  Pair pair;
  const StreamNumber file = pair.add("outputs/model", StreamKind::kFile, 100, true, 1);
  pair.sender.ended(file, {100, "wrong", true});
  pair.connect();
  pair.settle();
  EXPECT_EQ(pair.sender.totals().bytes_sent, 300U);
  std::vector<SenderEvent> events = pair.sender.take_events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [&](const SenderEvent& event) {
    return event.kind == SenderEvent::Kind::kRefused && event.stream == file;
  }));
}

TEST(ReplicationTest, HolesTravelAsANumber) {
  Pair pair;
  pair.source.hole_from = 1000;
  pair.source.hole_to = 50'000'000;
  const StreamNumber file = pair.add("outputs/sparse", StreamKind::kFile, 50'000'100, true, 1);
  pair.sender.ended(file, {50'000'100, "", true});
  pair.connect();
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_EQ(pair.store.zeros, 50'000'000U - 1000);
  EXPECT_LT(pair.sent.size(), 5000U);
  EXPECT_EQ(pair.bytes("outputs/sparse", 1).size(), 50'000'100U);
}

TEST(ReplicationTest, FilesUseTheirOwnLinkWhenThereIsOne) {
  Pair pair;
  pair.connect();
  pair.connect(LinkRole::kBulk);
  ASSERT_TRUE(pair.talk());
  const StreamNumber file = pair.add("outputs/model", StreamKind::kFile, 100'000, true, 1);
  pair.sender.ended(file, {100'000, "", true});
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  EXPECT_LT(pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now).size(), 500U);
  pair.cut();
  pair.connect();
  pair.settle();
  EXPECT_TRUE(pair.sender.watermarks(file).complete);
  EXPECT_EQ(pair.sender.watermarks(out).durable, 1000U);
  // Without it they go with the others.
  pair.cut(LinkRole::kBulk);
  const StreamNumber next = pair.add("outputs/next", StreamKind::kFile, 100'000, true, 1);
  pair.sender.ended(next, {100'000, "", true});
  pair.settle();
  EXPECT_TRUE(pair.sender.watermarks(next).complete);
}

TEST(ReplicationTest, AFloodDoesNotHoldUpMetricsNorOtherRanks) {
  Pair pair;
  pair.connect();
  ASSERT_TRUE(pair.talk());
  const StreamNumber flood = pair.add(kOut, StreamKind::kStdout, 1ULL << 40);
  const StreamNumber quiet = pair.add("ranks/00001/attempt-0/stdout.log", StreamKind::kStdout, 100);
  // What is on its way when the metrics come is one piece of the flood, no more.
  std::string out = pair.sender.take_output(LinkRole::kLive, 1000, pair.now);
  ASSERT_TRUE(pair.receiver.receive(pair.links.at(LinkRole::kLive), out, pair.now));
  ASSERT_TRUE(pair.sender.receive(
      LinkRole::kLive,
      pair.receiver.take_output(pair.links.at(LinkRole::kLive), 1U << 20, pair.now), pair.now));
  const StreamNumber metrics =
      pair.add("ranks/00000/attempt-0/metrics.jsonl", StreamKind::kMetrics, 100);
  for (int i = 0; i < 6; ++i) {
    out = pair.sender.take_output(LinkRole::kLive, 64U << 10, pair.now);
    ASSERT_TRUE(pair.receiver.receive(pair.links.at(LinkRole::kLive), out, pair.now));
    pair.pass(milliseconds(60));
    ASSERT_TRUE(pair.sender.receive(
        LinkRole::kLive,
        pair.receiver.take_output(pair.links.at(LinkRole::kLive), 1U << 20, pair.now), pair.now));
  }
  EXPECT_EQ(pair.sender.watermarks(metrics).received, 100U);
  EXPECT_EQ(pair.sender.watermarks(quiet).received, 100U);
  EXPECT_LT(pair.sender.watermarks(flood).received, 1U << 20);
}

TEST(ReplicationTest, CreditBoundsWhatIsOnItsWay) {
  ReceiverLimits limits;
  limits.memory = 100'000;
  Pair pair(limits);
  pair.add(kOut, StreamKind::kStdout, 1ULL << 30);
  const StreamNumber err = pair.add(kErr, StreamKind::kStderr, 1ULL << 30);
  pair.connect();
  // The receiver's answers never come back.
  const LinkNumber link = pair.links.at(LinkRole::kLive);
  ASSERT_TRUE(pair.sender.receive(LinkRole::kLive,
                                  pair.receiver.take_output(link, 1U << 20, pair.now), pair.now));
  ASSERT_TRUE(pair.receiver.receive(
      link, pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now), pair.now));
  ASSERT_TRUE(pair.sender.receive(LinkRole::kLive,
                                  pair.receiver.take_output(link, 1U << 20, pair.now), pair.now));
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    sent += pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now).size();
  }
  EXPECT_GT(sent, 100'000U);
  EXPECT_LT(sent, 100'000U + (64U << 10) + 10'000U) << "stderr has 64 KiB a second without credit";
  pair.now += seconds(1);
  std::size_t later = 0;
  for (int i = 0; i < 100; ++i) {
    later += pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now).size();
  }
  EXPECT_GT(later, 60'000U);
  EXPECT_LT(later, 80'000U);
  (void)err;
}

std::vector<SenderEvent> refusals_of(Sender& sender) {
  std::vector<SenderEvent> events = sender.take_events();
  std::erase_if(events,
                [](const SenderEvent& event) { return event.kind != SenderEvent::Kind::kRefused; });
  return events;
}

// Each is refused once; the link and the other streams go on.
TEST(ReplicationTest, NamesThatAreNoneAreRefusedAlone) {
  Pair pair;
  pair.connect();
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.sender.ended(out, {1000, "", true});
  const std::vector<std::string> names = {"", "outputs/" + std::string(5000, 'n'),
                                          std::string(3U << 20, 'n')};
  for (const std::string& name : names) {
    pair.sender.ended(pair.add(name, StreamKind::kFile, 10, true, 1), {10, "", true});
    pair.sender.deleted(name);
  }
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_TRUE(pair.is_whole(kOut, 1000));
  EXPECT_EQ(refusals_of(pair.sender).size(), 2 * names.size());
  EXPECT_EQ(pair.sender.totals().links, 1U);
}

// As a sender of another version may say them, which does not know what is taken here.
TEST(ReplicationTest, AReceiverRefusesThemToo) {
  Pair pair;
  pair.connect();
  ASSERT_TRUE(pair.talk());
  const LinkNumber link = pair.links.at(LinkRole::kLive);
  std::string words;
  wire::add(words, 7, StreamDescription{.path = ""});
  wire::add(words, 8, StreamDescription{.path = std::string(5000, 'n')});
  wire::add(words, 9,
            StreamDescription{.path = "outputs/x", .link_target = std::string(5000, 'n')});
  wire::add(words, 10, StreamDescription{.path = "new", .kind = static_cast<StreamKind>(77)});
  wire::add_deleted(words, 11, "");
  ASSERT_TRUE(pair.receiver.receive(link, words, pair.now));
  EXPECT_TRUE(pair.receiver.take_closed().empty());
  protocol::FrameReader reader{wire::kMaxFrame};
  reader.append(pair.receiver.take_output(link, 1U << 20, pair.now));
  for (StreamNumber number = 7; number <= 11; ++number) {
    const auto frame = reader.next_view();
    ASSERT_TRUE(frame && *frame);
    EXPECT_EQ((*frame)->stream, number);
    const auto opened = wire::read_opened((*frame)->payload);
    ASSERT_TRUE(opened);
    EXPECT_NE(opened->refused, "");
  }
}

TEST(ReplicationTest, AStreamThatIsRefusedLateIsRefusedAlone) {
  Pair pair;
  pair.store.unwanted = kErr;
  pair.connect();
  const StreamNumber err = pair.add(kErr, StreamKind::kStderr, 1000);
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.sender.ended(err, {1000, "", true});
  pair.settle();
  const auto refusals = refusals_of(pair.sender);
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].stream, err);
  EXPECT_EQ(refusals[0].text, "no more of it");
  pair.sender.grown(out, 2000);
  pair.sender.ended(out, {2000, "", true});
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_TRUE(pair.is_whole(kOut, 2000));
  EXPECT_EQ(pair.sender.totals().links, 1U);
  EXPECT_TRUE(pair.store.handles.empty());
}

TEST(ReplicationTest, MoreStreamsThanMayBeOpenTakeTurns) {
  ReceiverLimits limits;
  limits.streams = 8;
  Pair pair(limits);
  pair.connect();
  std::vector<StreamNumber> all;
  for (int rank = 0; rank < 50; ++rank) {
    all.push_back(pair.add("ranks/" + std::to_string(rank) + "/attempt-0/stdout.log",
                           StreamKind::kStdout, 1000));
  }
  for (int i = 0; i < 40; ++i) {
    pair.settle(3);
    ASSERT_LE(pair.store.handles.size(), 8U);
  }
  for (const StreamNumber stream : all) {
    EXPECT_EQ(pair.sender.watermarks(stream).durable, 1000U);
    pair.sender.grown(stream, 1500);
    pair.sender.ended(stream, {1500, "", true});
  }
  pair.settle(200);
  EXPECT_TRUE(pair.sender.all_complete());
}

TEST(ReplicationTest, TenThousandStreamsAreQuick) {
  Pair pair;
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i) {
    const StreamNumber file =
        pair.add("outputs/" + std::to_string(i), StreamKind::kFile, 10, true, 1);
    pair.sender.ended(file, {10, "", true});
  }
  pair.connect();
  for (int i = 0; i < 1000 && !pair.sender.all_complete(); ++i) pair.settle(1);
  EXPECT_TRUE(pair.sender.all_complete());
  // Quadratic would be minutes; the sanitizers and a busy machine are allowed for.
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(40));
}

TEST(ReplicationTest, ASilentLinkIsGivenUp) {
  Pair pair;
  pair.connect();
  ASSERT_TRUE(pair.talk());
  std::optional<Time> dead;
  const Time start = pair.now;
  for (int i = 0; i < 300 && !dead; ++i) {
    pair.pass(milliseconds(100));
    (void)pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now);  // never arrives
    if (!pair.sender.take_closed().empty()) dead = pair.now;
  }
  ASSERT_TRUE(dead);
  EXPECT_LE(*dead - start, seconds(20));
  EXPECT_GE(*dead - start, seconds(18));
  // A sleep of this process is not the other's silence.
  Pair stopped;
  stopped.connect();
  ASSERT_TRUE(stopped.talk());
  stopped.pass(std::chrono::hours(1));
  ASSERT_TRUE(stopped.talk());
  stopped.pass(seconds(2));
  EXPECT_TRUE(stopped.sender.take_closed().empty());
}

// A wrong bit in a frame's length: its receiver waits for bytes that never come, while the sender's
// questions go on and look like some of them.
TEST(ReplicationTest, AFrameThatNeverEndsIsNoSignOfLife) {
  Pair pair;
  pair.add(kOut, StreamKind::kStdout, 100);
  pair.connect();
  const LinkNumber link = pair.links.at(LinkRole::kLive);
  ASSERT_TRUE(pair.sender.receive(LinkRole::kLive,
                                  pair.receiver.take_output(link, 1U << 20, pair.now), pair.now));
  std::string out = pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now);
  out[2] = static_cast<char>(out[2] ^ 8);  // 512 KiB more
  ASSERT_TRUE(pair.receiver.receive(link, out, pair.now));
  std::optional<Time> dead;
  const Time start = pair.now;
  for (int i = 0; i < 300 && !dead; ++i) {
    pair.pass(milliseconds(100));
    ASSERT_TRUE(pair.receiver.receive(
        link, pair.sender.take_output(LinkRole::kLive, 1U << 20, pair.now), pair.now));
    ASSERT_TRUE(pair.sender.receive(LinkRole::kLive,
                                    pair.receiver.take_output(link, 1U << 20, pair.now), pair.now));
    if (!pair.receiver.take_closed().empty()) dead = pair.now;
  }
  ASSERT_TRUE(dead);
  EXPECT_LE(*dead - start, seconds(20));
}

TEST(ReplicationTest, AnIdleLinkIsKeptByAFewQuestions) {
  Pair pair;
  pair.connect();
  for (int i = 0; i < 600; ++i) {
    ASSERT_TRUE(pair.talk());
    pair.pass(milliseconds(100));
  }
  EXPECT_TRUE(pair.sender.take_closed().empty());
  EXPECT_TRUE(pair.receiver.take_closed().empty());
  EXPECT_LT(pair.sent.size(), 60 * 64U);
}

TEST(ReplicationTest, TheClockOffsetIsMeasured) {
  Pair pair;
  pair.connect();
  ASSERT_TRUE(pair.talk());
  ASSERT_FALSE(pair.store.clocks.empty());
  EXPECT_EQ(pair.store.clocks[0].offset_ns, 5'000'000);
  EXPECT_EQ(pair.store.clocks[0].round_trip_ns, 0);
}

TEST(ReplicationTest, ASourceThatFailsIsToldAndGoesOnWhenItsOwnerSays) {
  Pair pair;
  const StreamNumber out = pair.add(kOut, StreamKind::kStdout, 1000);
  pair.source.unreadable = out;
  pair.connect();
  pair.settle(5);
  std::vector<SenderEvent> events = pair.sender.take_events();
  EXPECT_EQ(std::count_if(events.begin(), events.end(),
                          [](const SenderEvent& event) {
                            return event.kind == SenderEvent::Kind::kUnreadable;
                          }),
            1);
  pair.source.unreadable.reset();
  pair.sender.gap(out, {0, 400, "disk_error"});
  pair.sender.ended(out, {1000, "", true});
  pair.settle();
  EXPECT_TRUE(pair.sender.all_complete());
  EXPECT_EQ(pair.bytes(kOut).substr(400), Pair::expected(kOut, 1000).substr(400));
}

TEST(ReplicationTest, APeerThatInventsAcknowledgementsIsRefused) {
  Pair pair;
  pair.add(kOut, StreamKind::kStdout, 1000);
  pair.connect();
  ASSERT_TRUE(pair.talk());
  std::string forged;
  wire::add(forged, std::vector<wire::Mark>{{0, 1001, 0, false}});
  EXPECT_FALSE(pair.sender.receive(LinkRole::kLive, forged, pair.now));
}

TEST(ReplicationTest, APeerThatSendsMoreThanItsCreditIsRefused) {
  ReceiverLimits limits;
  limits.memory = 1;  // the least window, 32 KiB
  Pair pair(limits);
  pair.connect();
  std::string forged;
  StreamDescription stream;
  stream.path = kOut;
  wire::add(forged, 0, stream);
  protocol::FrameHeader header;
  header.type = protocol::FrameType::kData;
  protocol::append_frame(forged, header, std::string(40'000, 'x'));
  EXPECT_FALSE(pair.receiver.receive(pair.links.at(LinkRole::kLive), forged, pair.now));
  const auto closed = pair.receiver.take_closed();
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_NE(pair.receiver.take_output(closed[0].first, 1U << 20, pair.now).size(), 0U);
}

TEST(ReplicationTest, ShuttingDownSaysGoodbye) {
  Pair pair;
  pair.connect();
  ASSERT_TRUE(pair.talk());
  pair.receiver.shut_down("the collector ends", seconds(3));
  ASSERT_TRUE(pair.talk());
  const auto closed = pair.sender.take_closed();
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].reason, "the collector ends");
  EXPECT_EQ(closed[0].retry_after, seconds(3));
}

}  // namespace
}  // namespace muster::replication
