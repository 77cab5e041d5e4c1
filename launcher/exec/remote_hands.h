// The hands of another node: its launcher does what is asked here, and tells what happens there.
//
// Times that it tells are made this node's, as far as its clock is known.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cluster.pb.h"
#include "launcher/exec/node_hands.h"
#include "launcher/plan/run_outcome.h"

namespace muster::exec {

// How messages get to a node: link::HeadLink, or a test.
class NodeChannel {
 public:
  virtual ~NodeChannel() = default;
  virtual void send(int node_rank, protocol::HeadMessage message) = 0;
  // How far its clock is ahead of ours.
  virtual std::chrono::nanoseconds clock_of(int node_rank) const = 0;
};

class RemoteHands final : public NodeHands {
 public:
  RemoteHands(NodeChannel& channel, HandsListener& listener, int node_rank, std::vector<int> ranks);

  int node_rank() const override { return node_rank_; }
  void send(int rank, const protocol::LauncherMessage& message) override;
  std::vector<int> connected_ranks() const override {
    return {connected_.begin(), connected_.end()};
  }
  std::string agent_end(int rank) override;
  void leave() override;
  void kill_starter() override { order(protocol::NodeOrder::KILL_STARTER); }
  void cut_streams(const std::string& why) override {
    order(protocol::NodeOrder::CUT_STREAMS, why);
  }
  // The run stops: agents that come from now on get no rank.
  void accept_no_more() { order(protocol::NodeOrder::NO_MORE_RANKS); }

  // What its launcher says of ranks that are its own; anything else is ignored.
  void take(const protocol::RankNews& news);
  void take(const protocol::NodeNews& news);
  // Nothing comes from there any more: its agents are gone, and so is what was to come.
  void lost(const std::string& why);
  bool is_lost() const { return is_lost_; }

  // What its streams lack, once they have been read to their ends.
  const std::vector<plan::StreamGap>& gaps() const { return gaps_; }
  const std::string& problem() const { return problem_; }

 private:
  void order(protocol::NodeOrder::What what, const std::string& why = "");
  void to_our_clock(protocol::AgentMessage& message) const;
  void gone(int rank, std::string how);

  NodeChannel& channel_;
  HandsListener& listener_;
  const int node_rank_;
  const std::set<int> ranks_;
  std::set<int> connected_;
  std::set<int> gone_;
  std::map<int, std::string> ends_;
  std::vector<plan::StreamGap> gaps_;
  std::string problem_;
  bool asked_to_leave_ = false;
  bool is_lost_ = false;
};

}  // namespace muster::exec
