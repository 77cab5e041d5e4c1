#include "launcher/exec/remote_hands.h"

namespace muster::exec {

using protocol::HeadMessage;
using protocol::NodeNews;
using protocol::NodeOrder;
using protocol::RankNews;

RemoteHands::RemoteHands(NodeChannel& channel, HandsListener& listener, int node_rank,
                         std::vector<int> ranks)
    : channel_(channel),
      listener_(listener),
      node_rank_(node_rank),
      ranks_(ranks.begin(), ranks.end()) {}

void RemoteHands::send(int rank, const protocol::LauncherMessage& message) {
  if (is_lost_ || !connected_.contains(rank)) return;
  HeadMessage out;
  out.mutable_ranks()->add_ranks(rank);
  if (message.has_signal()) {
    out.mutable_ranks()->set_signal_number(message.signal().signal_number());
  } else if (message.has_kill()) {
    out.mutable_ranks()->set_kill(true);
  } else {
    return;  // its own launcher says the rest
  }
  channel_.send(node_rank_, std::move(out));
}

void RemoteHands::order(NodeOrder::What what, const std::string& why) {
  if (is_lost_) return;
  HeadMessage out;
  out.mutable_node()->set_what(what);
  out.mutable_node()->set_why(why);
  channel_.send(node_rank_, std::move(out));
}

std::string RemoteHands::agent_end(int rank) {
  const auto found = ends_.find(rank);
  return found == ends_.end() ? "" : found->second;
}

void RemoteHands::leave() {
  asked_to_leave_ = true;
  if (!is_lost_) return order(NodeOrder::LEAVE);
  listener_.agents_left(node_rank_);
  listener_.starter_ended(node_rank_, ExitStatus::signaled(9));
  listener_.drained(node_rank_);
}

void RemoteHands::to_our_clock(protocol::AgentMessage& message) const {
  const std::int64_t ahead = channel_.clock_of(node_rank_).count();
  if (message.has_started()) {
    auto& started = *message.mutable_started();
    started.set_started_at_ns(started.started_at_ns() - ahead);
    if (started.has_placement()) {
      started.mutable_placement()->set_seen_at_ns(started.placement().seen_at_ns() - ahead);
    }
  } else if (message.has_ended()) {
    message.mutable_ended()->set_ended_at_ns(message.ended().ended_at_ns() - ahead);
  } else if (message.has_placement()) {
    message.mutable_placement()->set_seen_at_ns(message.placement().seen_at_ns() - ahead);
  }
}

void RemoteHands::take(const RankNews& news) {
  const int rank = news.rank();
  if (is_lost_ || !ranks_.contains(rank)) return;
  switch (news.news_case()) {
    case RankNews::kConnected:
      if (gone_.contains(rank) || !connected_.insert(rank).second) return;
      listener_.agent_connected(rank);
      break;
    case RankNews::kSaid: {
      if (!connected_.contains(rank)) return;
      protocol::AgentMessage message = news.said();
      to_our_clock(message);
      listener_.agent_said(rank, message);
      break;
    }
    case RankNews::kGone: gone(rank, news.gone()); break;
    case RankNews::kGpus:
      listener_.gpus_seen(rank, {news.gpus().uuids().begin(), news.gpus().uuids().end()});
      break;
    default: break;
  }
}

void RemoteHands::gone(int rank, std::string how) {
  if (!gone_.insert(rank).second) return;
  connected_.erase(rank);
  ends_[rank] = std::move(how);
  listener_.agent_gone(rank);
}

void RemoteHands::take(const NodeNews& news) {
  if (is_lost_ || !asked_to_leave_) return;
  switch (news.what()) {
    case NodeNews::AGENTS_LEFT: listener_.agents_left(node_rank_); break;
    case NodeNews::STARTER_ENDED: listener_.starter_ended(node_rank_, ExitStatus::exited(0)); break;
    case NodeNews::DRAINED:
      for (const protocol::GapNews& each : news.gaps()) {
        plan::StreamGap gap{each.stream(), each.from(), std::nullopt, each.reason()};
        if (each.has_to() && each.to() >= each.from()) gap.length = each.to() - each.from();
        gaps_.push_back(std::move(gap));
      }
      problem_ = news.problem();
      listener_.drained(node_rank_);
      break;
    default: break;
  }
}

void RemoteHands::lost(const std::string& why) {
  if (is_lost_) return;
  is_lost_ = true;
  for (const int rank : ranks_) gone(rank, why);
  if (asked_to_leave_) leave();
}

}  // namespace muster::exec
