#include "launcher/exec/remote_hands.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using protocol::HeadMessage;
using protocol::NodeNews;
using protocol::NodeOrder;
using protocol::RankNews;

// Writes down what goes to the node and what its hands say of it, a word each.
class RemoteHandsTest : public testing::Test, public NodeChannel, public HandsListener {
 protected:
  void send(int node_rank, HeadMessage message) override {
    EXPECT_EQ(node_rank, 1);
    sent_.push_back(std::move(message));
  }
  std::chrono::nanoseconds clock_of(int) const override { return ahead_; }

  bool accepts_ranks() const override { return true; }
  bool awaits_ranks() const override { return true; }
  void agent_connected(int rank) override { note("connected", rank); }
  void agent_said(int rank, const protocol::AgentMessage& message) override {
    note("said", rank);
    said_ = message;
  }
  void agent_gone(int rank) override { note("gone", rank); }
  void gpus_seen(int rank, const std::set<std::string>&) override { note("gpus", rank); }
  void starter_ended(int node_rank, const ExitStatus&) override { note("starter", node_rank); }
  void agents_left(int node_rank) override { note("left", node_rank); }
  void drained(int node_rank) override { note("drained", node_rank); }
  void daemon_wanted(int, const protocol::DaemonWanted&) override {}
  void helper_gone(int) override {}
  void daemon_ended(int, int) override {}

  void note(const std::string& what, int number) {
    heard_.push_back(what + " " + std::to_string(number));
  }
  std::string heard() { return join(std::exchange(heard_, {}), ", "); }

  void connected(int rank) {
    RankNews news;
    news.set_rank(rank);
    news.set_connected(true);
    hands_.take(news);
  }
  void said(int rank, const protocol::AgentMessage& message) {
    RankNews news;
    news.set_rank(rank);
    *news.mutable_said() = message;
    hands_.take(news);
  }
  void gone(int rank, const std::string& how) {
    RankNews news;
    news.set_rank(rank);
    news.set_gone(how);
    hands_.take(news);
  }
  void news(NodeNews::What what) {
    NodeNews news;
    news.set_what(what);
    hands_.take(news);
  }

  static protocol::LauncherMessage signal(int number) {
    protocol::LauncherMessage message;
    message.mutable_signal()->set_signal_number(number);
    return message;
  }

  std::chrono::nanoseconds ahead_{0};
  std::vector<HeadMessage> sent_;
  std::vector<std::string> heard_;
  protocol::AgentMessage said_;
  RemoteHands hands_{*this, *this, 1, {2, 3}};
};

TEST_F(RemoteHandsTest, ARankIsHeardOnceItIsConnectedAndGoneOnce) {
  protocol::AgentMessage quiet;
  quiet.mutable_quiet();
  said(2, quiet);
  gone(3, "killed by SIGKILL");
  gone(3, "killed by SIGTERM");
  connected(2);
  connected(2);
  connected(3);  // it is gone already
  said(2, quiet);
  EXPECT_EQ(heard(), "gone 3, connected 2, said 2");
  EXPECT_EQ(hands_.connected_ranks(), std::vector<int>{2});
  EXPECT_EQ(hands_.agent_end(3), "killed by SIGKILL");
  EXPECT_EQ(hands_.agent_end(2), "");
}

TEST_F(RemoteHandsTest, RanksOfOthersAndNonsenseAreNotHeard) {
  for (const int rank : {-1, 0, 1, 4, 1 << 30}) {
    connected(rank);
    said(rank, {});
    gone(rank, "x");
  }
  connected(2);
  hands_.take(RankNews());
  news(NodeNews::AGENTS_LEFT);  // nobody has asked it to leave
  news(NodeNews::DRAINED);
  EXPECT_EQ(heard(), "connected 2");
}

TEST_F(RemoteHandsTest, OrdersGoToRanksThatAreConnected) {
  hands_.send(2, signal(15));
  connected(2);
  hands_.send(2, signal(15));
  protocol::LauncherMessage kill;
  kill.mutable_kill();
  hands_.send(2, kill);
  protocol::LauncherMessage leave;
  leave.mutable_leave();
  hands_.send(2, leave);  // its own launcher says that
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(sent_[0].ranks().ranks(0), 2);
  EXPECT_EQ(sent_[0].ranks().signal_number(), 15);
  EXPECT_TRUE(sent_[1].ranks().kill());
}

TEST_F(RemoteHandsTest, TimesBecomeThoseOfTheHeadsClock) {
  ahead_ = 90s;
  connected(2);
  protocol::AgentMessage message;
  message.mutable_ended()->set_ended_at_ns(std::chrono::nanoseconds(100s).count());
  said(2, message);
  EXPECT_EQ(said_.ended().ended_at_ns(), std::chrono::nanoseconds(10s).count());
  message.mutable_started()->set_started_at_ns(std::chrono::nanoseconds(95s).count());
  message.mutable_started()->mutable_placement()->set_seen_at_ns(
      std::chrono::nanoseconds(96s).count());
  said(2, message);
  EXPECT_EQ(said_.started().started_at_ns(), std::chrono::nanoseconds(5s).count());
  EXPECT_EQ(said_.started().placement().seen_at_ns(), std::chrono::nanoseconds(6s).count());
}

TEST_F(RemoteHandsTest, WhatItsStreamsLackIsKept) {
  hands_.leave();
  EXPECT_EQ(sent_.back().node().what(), NodeOrder::LEAVE);
  NodeNews drained;
  drained.set_what(NodeNews::DRAINED);
  drained.set_problem("the disk is full");
  auto& gap = *drained.add_gaps();
  gap.set_stream("ranks/00002/attempt-0/stdout.log");
  gap.set_from(10);
  gap.set_to(14);
  drained.add_gaps()->set_from(7);
  auto& backwards = *drained.add_gaps();
  backwards.set_from(9);
  backwards.set_to(3);
  hands_.take(drained);
  news(NodeNews::AGENTS_LEFT);
  news(NodeNews::STARTER_ENDED);
  EXPECT_EQ(heard(), "drained 1, left 1, starter 1");
  ASSERT_EQ(hands_.gaps().size(), 3U);
  EXPECT_EQ(hands_.gaps()[0].length, 4U);
  EXPECT_EQ(hands_.gaps()[1].length, std::nullopt);
  EXPECT_EQ(hands_.gaps()[2].length, std::nullopt);
  EXPECT_EQ(hands_.problem(), "the disk is full");
}

TEST_F(RemoteHandsTest, ALostNodesRanksAreGoneAndNothingMoreIsHeardOrSaid) {
  connected(2);
  hands_.lost("node-b was lost");
  hands_.lost("again");
  connected(3);
  gone(2, "x");
  hands_.send(2, signal(9));
  hands_.kill_starter();
  EXPECT_EQ(heard(), "connected 2, gone 2, gone 3");
  EXPECT_EQ(hands_.agent_end(3), "node-b was lost");
  EXPECT_TRUE(sent_.empty());
  // Whoever waits for its last words has them now.
  hands_.leave();
  EXPECT_EQ(heard(), "left 1, starter 1, drained 1");
}

TEST_F(RemoteHandsTest, ANodeThatIsLostWhileItLeavesHasLeft) {
  connected(2);
  hands_.leave();
  EXPECT_EQ(heard(), "connected 2");
  hands_.lost("node-b was lost");
  EXPECT_EQ(heard(), "gone 2, gone 3, left 1, starter 1, drained 1");
}

}  // namespace
}  // namespace muster::exec
