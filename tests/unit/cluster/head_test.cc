#include "launcher/cluster/head.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace muster::cluster {
namespace {

using namespace std::chrono_literals;
using What = HeadAction::What;

protocol::Join a_join(int node_rank, int node_count = 3) {
  protocol::Join join;
  join.set_node_rank(node_rank);
  join.set_node_count(node_count);
  join.set_launcher("launcher-" + std::to_string(node_rank));
  join.set_hostname("node-" + std::string(1, static_cast<char>('a' + node_rank)));
  join.set_software("muster 1");
  join.set_job_id("job");
  return join;
}

class HeadTest : public testing::Test {
 protected:
  static constexpr std::int64_t kEpoch = 1'700'000'000'000'000'000;

  explicit HeadTest(int node_count = 3)
      : head_(node_count, a_join(0, node_count), limits(), SteadyTime{}) {}

  static HeadLimits limits() {
    HeadLimits limits;
    limits.join_timeout = 60s;
    return limits;
  }

  std::int64_t wall() const {
    return kEpoch +
           std::chrono::duration_cast<std::chrono::nanoseconds>(now_.time_since_epoch()).count();
  }

  HeadActions say_join(LinkId link, const protocol::Join& join) {
    head_.connected(link, "10.0.0." + std::to_string(link) + ":4", now_);
    protocol::MemberMessage message;
    *message.mutable_join() = join;
    return head_.received(link, message, now_, wall());
  }

  void all_join() {
    say_join(1, a_join(1));
    say_join(2, a_join(2));
    ASSERT_TRUE(head_.all_here());
  }

  HeadActions say_line(LinkId link) {
    protocol::MemberMessage message;
    message.mutable_stored()->set_problem("hello");
    return head_.received(link, message, now_, wall());
  }

  // Ticks for so long, while these links answer.
  HeadActions run_for(std::chrono::milliseconds span, const std::vector<LinkId>& answering) {
    HeadActions all;
    for (const auto end = now_ + span; now_ < end;) {
      now_ += Head::kTick;
      for (const LinkId link : answering) append(all, say_line(link));
      append(all, head_.tick(now_, wall()));
    }
    return all;
  }

  static void append(HeadActions& all, const HeadActions& more) {
    all.insert(all.end(), more.begin(), more.end());
  }

  static std::vector<HeadAction> of(const HeadActions& actions, What what) {
    HeadActions found;
    std::copy_if(actions.begin(), actions.end(), std::back_inserter(found),
                 [&](const HeadAction& each) { return each.what == what; });
    return found;
  }

  std::string refusal(LinkId link, const protocol::Join& join) {
    const HeadActions actions = say_join(link, join);
    EXPECT_EQ(of(actions, What::kClose).size(), 1U);
    EXPECT_EQ(of(actions, What::kRefused).size(), 1U);
    const auto sent = of(actions, What::kSend);
    return sent.size() == 1 && sent[0].message.has_refused() ? sent[0].message.refused().why() : "";
  }

  SteadyTime now_{};
  Head head_;
};

TEST_F(HeadTest, TheSameLauncherMayComeAgainBeforeItsOldConnectionIsKnownToBeGone) {
  say_join(1, a_join(1));
  const HeadActions again = say_join(2, a_join(1));
  ASSERT_EQ(of(again, What::kClose).size(), 1U);
  EXPECT_EQ(of(again, What::kClose).front().link, 1U);
  EXPECT_TRUE(of(again, What::kRefused).empty());
  EXPECT_EQ(head_.node(1)->link, 2U);
  EXPECT_TRUE(head_.closed(1, "reset", now_).empty());
  EXPECT_EQ(head_.missing(), std::vector<int>{2});
  say_join(3, a_join(2));
  EXPECT_TRUE(head_.all_here());
  // Once the run has begun, nobody comes back.
  EXPECT_EQ(of(say_join(4, a_join(1)), What::kRefused).size(), 1U);
  EXPECT_EQ(head_.node(1)->link, 2U);
}

TEST_F(HeadTest, NodesJoinInAnyOrder) {
  EXPECT_EQ(head_.missing(), (std::vector{1, 2}));
  const auto first = say_join(7, a_join(2));
  ASSERT_EQ(of(first, What::kJoined).size(), 1U);
  EXPECT_EQ(of(first, What::kJoined)[0].text, "node-c (node rank 2) has joined");
  EXPECT_FALSE(head_.all_here());
  const auto second = say_join(8, a_join(1));
  EXPECT_EQ(of(second, What::kAllHere).size(), 1U);
  EXPECT_EQ(head_.node(2)->link, 7U);
  EXPECT_EQ(head_.node(0)->hostname, "node-a");
}

TEST_F(HeadTest, StrangersAreRefusedAndTheRunGoesOnWaiting) {
  say_join(1, a_join(1));
  auto other_job = a_join(2);
  other_job.set_job_id("another");
  EXPECT_EQ(refusal(2, other_job), "it belongs to job another, and this run to job job");
  auto other_version = a_join(2);
  other_version.set_software("muster 2");
  EXPECT_EQ(refusal(3, other_version), "it is muster 2, and the head is muster 1");
  EXPECT_EQ(refusal(4, a_join(2, 4)), "it was told of 4 nodes, and the head of 3");
  EXPECT_EQ(refusal(5, a_join(3)), "node rank 3 is none of the 3 of this run");
  EXPECT_EQ(refusal(6, a_join(-1)), "node rank -1 is none of the 3 of this run");
  EXPECT_EQ(refusal(7, a_join(0)), "node rank 0 is the head itself");
  protocol::Join second = a_join(1);
  second.set_launcher("another");
  EXPECT_EQ(refusal(8, second),
            "node rank 1 is another launcher already (on node-b, at 10.0.0.1:4)");
  auto nonsense = a_join(2);
  nonsense.add_addresses()->set_address("abc");
  EXPECT_EQ(refusal(9, nonsense), "what it says of itself makes no sense");
  auto huge = a_join(2);
  huge.set_hostname(std::string(1000, 'a'));
  EXPECT_EQ(refusal(10, huge), "what it says of itself makes no sense");
  EXPECT_EQ(head_.missing(), std::vector{2});
  say_join(11, a_join(2));
  EXPECT_TRUE(head_.all_here());
  EXPECT_EQ(refusal(12, a_join(2)),
            "node rank 2 is another launcher already (on node-c, at 10.0.0.11:4)");
}

TEST_F(HeadTest, WhoSpeaksBeforeItJoinsOrNotAtAllIsRefused) {
  head_.connected(1, "somebody", now_);
  EXPECT_EQ(of(say_line(1), What::kClose).size(), 1U);
  EXPECT_TRUE(say_line(1).empty());
  head_.connected(2, "somebody", now_);
  EXPECT_TRUE(of(run_for(9s, {}), What::kRefused).empty());
  EXPECT_EQ(of(run_for(2s, {}), What::kRefused).size(), 1U);
}

TEST_F(HeadTest, SaysWhomItWaitsForAndInTheEndWhoIsMissing) {
  say_join(1, a_join(1));
  const auto waiting = run_for(11s, {1});
  const auto said = of(waiting, What::kWaiting);
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0].text, "waits for node rank 2 (2 of 3 nodes have joined)");
  int told = 0;
  for (const HeadAction& each : of(waiting, What::kSend)) {
    told += each.message.has_waiting() ? 1 : 0;
  }
  EXPECT_EQ(told, 2);
  const auto end = run_for(60s, {1});
  ASSERT_EQ(of(end, What::kMissing).size(), 1U);
  EXPECT_EQ(of(end, What::kMissing)[0].text,
            "node rank 2 has not joined within 1 min 00 s (2 of 3 nodes have)");
  EXPECT_EQ(refusal(5, a_join(2)), "it comes after the end of join_timeout");
}

TEST_F(HeadTest, WhoLeavesWhileOthersAreAwaitedMayComeBack) {
  say_join(1, a_join(1));
  const auto left = head_.closed(1, "connection reset", now_);
  ASSERT_EQ(of(left, What::kWaiting).size(), 1U);
  EXPECT_EQ(of(left, What::kWaiting)[0].text,
            "node-b (node rank 1) has left (connection reset), and is waited for again");
  EXPECT_EQ(head_.missing(), (std::vector{1, 2}));
  say_join(2, a_join(2));
  say_join(3, a_join(1));
  EXPECT_TRUE(head_.all_here());
}

TEST_F(HeadTest, ANodeWhoseConnectionEndsIsLostAtOnce) {
  all_join();
  const auto actions = head_.closed(2, "connection reset", now_);
  ASSERT_EQ(of(actions, What::kLost).size(), 1U);
  EXPECT_EQ(of(actions, What::kLost)[0].node_rank, 2);
  EXPECT_EQ(of(actions, What::kLost)[0].text, "node-c (node rank 2) was lost: connection reset");
  EXPECT_EQ(refusal(5, a_join(2)), "the run has begun, and node rank 2 was lost since");
  EXPECT_TRUE(head_.send(2, {}).empty());
  EXPECT_EQ(head_.send_to_all({}).size(), 1U);
}

TEST_F(HeadTest, NobodyIsLostWhoLeavesAfterTheEnd) {
  all_join();
  head_.expect_leaving();
  EXPECT_TRUE(of(head_.closed(2, "end", now_), What::kLost).empty());
  EXPECT_TRUE(of(run_for(60s, {}), What::kLost).empty());
}

TEST_F(HeadTest, ASilentNodeIsSuspectThenLost) {
  all_join();
  auto actions = run_for(2750ms, {1});
  EXPECT_TRUE(of(actions, What::kSuspect).empty());
  actions = run_for(500ms, {1});
  ASSERT_EQ(of(actions, What::kSuspect).size(), 1U);
  EXPECT_EQ(of(actions, What::kSuspect)[0].text, "node-c (node rank 2) has been silent for 3.0 s");
  EXPECT_TRUE(of(run_for(31s, {1}), What::kLost).empty());
  actions = run_for(1s, {1});
  ASSERT_EQ(of(actions, What::kLost).size(), 1U);
  EXPECT_EQ(of(actions, What::kLost)[0].node_rank, 2);
  EXPECT_EQ(of(actions, What::kClose).size(), 1U);
}

TEST_F(HeadTest, ASuspectThatWakesGoesOn) {
  all_join();
  EXPECT_EQ(of(run_for(30s, {1}), What::kSuspect).size(), 1U);
  EXPECT_EQ(of(say_line(2), What::kWakes).size(), 1U);
  EXPECT_TRUE(of(run_for(60s, {1, 2}), What::kLost).empty());
}

TEST_F(HeadTest, AHeadThatWasStoppedBuriesNobody) {
  all_join();
  run_for(2s, {1, 2});
  now_ += 300s;
  const auto actions = head_.tick(now_, wall());
  EXPECT_TRUE(of(actions, What::kSuspect).empty());
  EXPECT_TRUE(of(actions, What::kLost).empty());
  EXPECT_TRUE(of(run_for(60s, {1, 2}), What::kSuspect).empty());
}

TEST_F(HeadTest, MeasuresClocksThatAreMinutesOff) {
  all_join();
  const std::int64_t ahead = std::chrono::nanoseconds(3min).count();
  for (int second = 0; second < 20; ++second) {
    now_ += 1s;
    const std::int64_t sent_at = wall();
    for (const HeadAction& each : head_.tick(now_, sent_at)) {
      if (!each.message.has_beat() || each.node_rank != 1) continue;
      const auto there = std::chrono::microseconds(200 + 300 * (second % 3));
      const auto back = std::chrono::microseconds(200);
      protocol::MemberMessage reply;
      reply.mutable_beat()->set_number(each.message.beat().number());
      reply.mutable_beat()->set_head_sent(each.message.beat().sent());
      reply.mutable_beat()->set_received(sent_at + ahead + std::chrono::nanoseconds(there).count());
      reply.mutable_beat()->set_sent(reply.beat().received() + 5000);
      now_ += there + back + 5us;
      head_.received(1, reply, now_, wall());
      // Made up: of no beat of ours.
      reply.mutable_beat()->set_head_sent(1);
      reply.mutable_beat()->set_received(1);
      reply.mutable_beat()->set_sent(1);
      head_.received(1, reply, now_, wall());
    }
  }
  const auto& clock = head_.node(1)->clock;
  ASSERT_TRUE(clock);
  EXPECT_LE(std::chrono::abs(clock->offset - 3min), clock->bound);
  EXPECT_LT(clock->bound, 2ms);
  EXPECT_FALSE(head_.node(2)->clock);
}

TEST(NodeRanksText, NamesRangesAndStopsInTime) {
  EXPECT_EQ(node_ranks_text({3}), "node rank 3");
  EXPECT_EQ(node_ranks_text({1, 2, 3, 7}), "node ranks 1-3, 7");
  std::vector<int> odd;
  for (int i = 1; i < 1000; i += 2) odd.push_back(i);
  EXPECT_TRUE(node_ranks_text(odd).ends_with("29, 31 and 484 more"));
}

}  // namespace
}  // namespace muster::cluster
