#include "launcher/cluster/head.h"

#include <algorithm>
#include <utility>

#include "base/exit_code.h"
#include "base/text.h"

namespace muster::cluster {
namespace {

using namespace std::chrono_literals;
using What = HeadAction::What;
using std::chrono::nanoseconds;

// Of a Join, so that nobody who has the token by mistake fills the head's memory.
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestInventory = 4U << 20;
constexpr int kMostAddresses = 256;
constexpr int kMostFacts = 64;
constexpr std::size_t kLongestFact = 4096;

constexpr std::size_t kBeatsKept = 64;
constexpr std::size_t kMostRangesNamed = 16;
// Two quartz clocks, one of them being steered.
constexpr double kDrift = 500e-6;

HeadAction action(What what, int node_rank, std::string text) {
  HeadAction made;
  made.what = what;
  made.node_rank = node_rank;
  made.text = std::move(text);
  return made;
}

HeadAction sending(LinkId link, int node_rank, protocol::HeadMessage message) {
  HeadAction made;
  made.link = link;
  made.node_rank = node_rank;
  made.message = std::move(message);
  return made;
}

HeadAction closing(LinkId link, int node_rank = -1) {
  HeadAction made;
  made.what = What::kClose;
  made.link = link;
  made.node_rank = node_rank;
  return made;
}

bool makes_sense(const protocol::Join& join) {
  if (join.hostname().empty() || join.hostname().size() > kLongestName) return false;
  for (const std::string* text : {&join.job_id(), &join.launcher(), &join.boot_id(),
                                  &join.own_address(), &join.head_address(), &join.software()}) {
    if (text->size() > kLongestName) return false;
  }
  if (join.inventory().size() > kLongestInventory) return false;
  if (join.addresses_size() > kMostAddresses || join.facts_size() > kMostFacts) return false;
  for (const protocol::InterfaceAddress& each : join.addresses()) {
    const std::size_t bytes = each.address().size();
    if ((bytes != 4 && bytes != 16) || each.prefix() > bytes * 8) return false;
    if (each.interface().size() > kLongestName) return false;
  }
  return std::all_of(join.facts().begin(), join.facts().end(), [](const protocol::Fact& fact) {
    return fact.name().size() <= kLongestName && fact.value().size() <= kLongestFact;
  });
}

nanoseconds aged(const ClockEstimate& estimate, SteadyTime::duration age) {
  return estimate.bound + nanoseconds(static_cast<std::int64_t>(
                              static_cast<double>(nanoseconds(age).count()) * kDrift));
}

std::string seconds_text(SteadyTime::duration span) {
  return format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(span));
}

}  // namespace

std::string node_ranks_text(const std::vector<int>& ranks) {
  std::vector<std::string> ranges;
  std::size_t named = 0;
  std::size_t i = 0;
  while (i < ranks.size() && ranges.size() < kMostRangesNamed) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    ranges.push_back(last == i ? std::to_string(ranks[i])
                               : std::to_string(ranks[i]) + "-" + std::to_string(ranks[last]));
    named += last - i + 1;
    i = last + 1;
  }
  std::string text = ranks.size() == 1 ? "node rank " : "node ranks ";
  text += join(ranges, ", ");
  if (named < ranks.size()) text += " and " + std::to_string(ranks.size() - named) + " more";
  return text;
}

Head::Head(int node_count, protocol::Join own, HeadLimits limits, SteadyTime now)
    : node_count_(node_count),
      own_(std::move(own)),
      limits_(limits),
      began_(now),
      nodes_(static_cast<std::size_t>(node_count)),
      ticked_at_(now),
      said_at_(now) {
  Node& head = nodes_.front();
  head.seen.emplace();
  head.seen->hostname = own_.hostname();
  head.seen->join = own_;
  head.seen->clock.emplace();
  head.here = true;
}

Head::Node* Head::node_at(int node_rank) {
  return node_rank > 0 && node_rank < node_count_ ? &nodes_[static_cast<std::size_t>(node_rank)]
                                                  : nullptr;
}

const NodeSeen* Head::node(int node_rank) const {
  if (node_rank < 0 || node_rank >= node_count_) return nullptr;
  const auto& seen = nodes_[static_cast<std::size_t>(node_rank)].seen;
  return seen ? &*seen : nullptr;
}

std::optional<ClockEstimate> Head::clock_of(int node_rank, SteadyTime now) const {
  const NodeSeen* seen = node(node_rank);
  if (seen == nullptr || !seen->clock) return std::nullopt;
  if (node_rank == 0) return ClockEstimate{};
  const Node& node = nodes_[static_cast<std::size_t>(node_rank)];
  return ClockEstimate{node.best.offset, aged(node.best, std::max(now - node.best_at, Span(0)))};
}

std::string Head::name_of(int node_rank) const {
  const NodeSeen* seen = node(node_rank);
  const std::string rank = "node rank " + std::to_string(node_rank);
  return seen == nullptr ? rank : without_controls(seen->hostname) + " (" + rank + ")";
}

std::vector<int> Head::missing() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < node_count_; ++rank) {
    if (!nodes_[static_cast<std::size_t>(rank)].here) ranks.push_back(rank);
  }
  return ranks;
}

std::string Head::missing_text() const {
  return node_ranks_text(missing()) + " (" + std::to_string(here_count_) + " of " +
         std::to_string(node_count_) + " nodes have joined)";
}

HeadActions Head::connected(LinkId link, const std::string& peer, SteadyTime now) {
  links_[link] = {peer, -1, now};
  return {};
}

HeadActions Head::received(LinkId link, const protocol::MemberMessage& message, SteadyTime now,
                           std::int64_t wall_ns) {
  HeadActions actions;
  const auto found = links_.find(link);
  if (found == links_.end()) return actions;
  const int node_rank = found->second.node_rank;
  if (node_rank < 0) {
    if (message.has_join()) {
      join(link, message.join(), actions);
    } else {
      refuse(link, "it speaks before it has joined", "", to_int(ExitCode::kInternal), actions);
    }
    return actions;
  }
  Node& node = nodes_[static_cast<std::size_t>(node_rank)];
  node.heard = ran_;
  if (node.suspect) {
    node.suspect = false;
    actions.push_back(action(What::kWakes, node_rank, name_of(node_rank) + " speaks again"));
  }
  if (message.has_join()) {
    // Nobody of ours says who it is twice.
    lose(node_rank, "it says twice who it is", actions);
  } else if (message.has_beat()) {
    measure(node, message.beat(), now, wall_ns);
  } else if (message.message_case() != protocol::MemberMessage::MESSAGE_NOT_SET) {
    actions.push_back(action(What::kMessage, node_rank, ""));
    actions.back().link = link;
    actions.back().received = message;
  }
  return actions;
}

std::string Head::why_not(const protocol::Join& join, std::string& hint, int& exit_code) const {
  exit_code = to_int(ExitCode::kUsage);
  if (!makes_sense(join)) {
    exit_code = to_int(ExitCode::kInternal);
    return "what it says of itself makes no sense";
  }
  if (!join.job_id().empty() && !own_.job_id().empty() && join.job_id() != own_.job_id()) {
    hint = "every run needs a port, or an address file, of its own";
    return "it belongs to job " + without_controls(join.job_id()) + ", and this run to job " +
           without_controls(own_.job_id());
  }
  if (join.software() != own_.software()) {
    exit_code = to_int(ExitCode::kResources);
    hint = "install the same version on every node";
    return "it is " + without_controls(join.software()) + ", and the head is " + own_.software();
  }
  if (join.node_count() != node_count_) {
    hint = "start every launcher of a run with the same count of nodes";
    return "it was told of " + counted(join.node_count(), "node") + ", and the head of " +
           std::to_string(node_count_);
  }
  const std::string rank = "node rank " + std::to_string(join.node_rank());
  hint = "give every launcher of a run a node rank of its own, from 0 to " +
         std::to_string(node_count_ - 1);
  if (join.node_rank() < 0 || join.node_rank() >= node_count_) {
    return rank + " is none of the " + std::to_string(node_count_) + " of this run";
  }
  if (join.node_rank() == 0) return "node rank 0 is the head itself";
  const Node& node = nodes_[static_cast<std::size_t>(join.node_rank())];
  if (node.here) {
    const auto link = links_.find(node.seen->link);
    const std::string peer = link == links_.end() ? "" : ", at " + link->second.peer;
    return rank + " is another launcher already (on " + without_controls(node.seen->hostname) +
           peer + ")";
  }
  hint.clear();
  if (all_here_ || leaving_) {
    exit_code = to_int(ExitCode::kInternal);
    return leaving_ ? "the run is over" : "the run has begun, and " + rank + " was lost since";
  }
  if (gave_up_) {
    exit_code = to_int(ExitCode::kTimeout);
    return "it comes after the end of join_timeout";
  }
  return "";
}

// A launcher whose connection broke comes again, and its end may not be known here yet.
void Head::let_go_of_the_same(const protocol::Join& join, HeadActions& actions) {
  Node* node = node_at(join.node_rank());
  if (node == nullptr || !node->here || all_here_ || join.launcher().empty()) return;
  if (node->seen->join.launcher() != join.launcher()) return;
  actions.push_back(closing(node->seen->link, join.node_rank()));
  links_.erase(node->seen->link);
  node->here = false;
  --here_count_;
}

void Head::join(LinkId link, const protocol::Join& join, HeadActions& actions) {
  let_go_of_the_same(join, actions);
  std::string hint;
  int exit_code = 0;
  if (const std::string why = why_not(join, hint, exit_code); !why.empty()) {
    return refuse(link, why, hint, exit_code, actions);
  }
  Node& node = nodes_[static_cast<std::size_t>(join.node_rank())];
  node = {};
  node.seen.emplace();
  node.seen->node_rank = join.node_rank();
  node.seen->hostname = join.hostname();
  node.seen->join = join;
  node.seen->link = link;
  node.here = true;
  node.heard = ran_;
  links_.at(link).node_rank = join.node_rank();
  ++here_count_;
  actions.push_back(
      action(What::kJoined, join.node_rank(), name_of(join.node_rank()) + " has joined"));
  if (here_count_ == node_count_) {
    all_here_ = true;
    beat_at_.reset();  // all clocks are measured soon
    actions.push_back(action(What::kAllHere, -1, ""));
  }
}

void Head::refuse(LinkId link, const std::string& why, const std::string& hint, int exit_code,
                  HeadActions& actions) {
  const std::string peer = links_.at(link).peer;
  links_.erase(link);
  protocol::HeadMessage message;
  message.mutable_refused()->set_why(why);
  message.mutable_refused()->set_hint(hint);
  message.mutable_refused()->set_exit_code(exit_code);
  actions.push_back(sending(link, -1, std::move(message)));
  actions.push_back(closing(link));
  actions.push_back(action(What::kRefused, -1, "refused a launcher at " + peer + ": " + why));
}

HeadActions Head::closed(LinkId link, const std::string& why, SteadyTime /*now*/) {
  HeadActions actions;
  const auto found = links_.find(link);
  if (found == links_.end()) return actions;
  const int node_rank = found->second.node_rank;
  if (node_rank >= 0) {
    lose(node_rank, why, actions);
    std::erase_if(actions, [](const HeadAction& each) { return each.what == What::kClose; });
  }
  links_.erase(link);
  return actions;
}

// While the run waits for others it may come back.
void Head::lose(int node_rank, const std::string& why, HeadActions& actions) {
  Node& node = nodes_[static_cast<std::size_t>(node_rank)];
  if (!node.here) return;
  node.here = false;
  node.suspect = false;
  --here_count_;
  const auto link = links_.find(node.seen->link);
  if (link != links_.end()) {
    actions.push_back(closing(link->first, node_rank));
    links_.erase(link);
  }
  if (leaving_) return;
  if (all_here_) {
    actions.push_back(action(What::kLost, node_rank, name_of(node_rank) + " was lost: " + why));
  } else {
    actions.push_back(
        action(What::kWaiting, node_rank,
               name_of(node_rank) + " has left (" + why + "), and is waited for again"));
    node.seen.reset();
  }
}

void Head::measure(Node& node, const protocol::BeatReply& reply, SteadyTime now,
                   std::int64_t wall_ns) {
  const auto sent = std::find_if(beats_.begin(), beats_.end(), [&](const SentBeat& beat) {
    return beat.number == reply.number();
  });
  // Only what we have said, as we have said it: who makes up times must not move a clock far.
  if (sent == beats_.end() || sent->sent != reply.head_sent()) return;
  // Nanoseconds since 1970 that differ by more than a century are no clock's.
  constexpr std::int64_t kMost = std::int64_t{1} << 61;
  for (const std::int64_t time : {reply.received(), reply.sent()}) {
    if (time <= 0 || time > kMost * 2 - 1) return;
  }
  const std::int64_t held = reply.sent() - reply.received();
  const std::int64_t round_trip = (wall_ns - sent->sent) - held;
  if (held < 0 || round_trip < 0) return;  // a clock was set meanwhile
  ClockEstimate sample;
  sample.offset = nanoseconds((reply.received() - sent->sent) / 2 + (reply.sent() - wall_ns) / 2);
  sample.bound = nanoseconds(round_trip / 2 + 1);
  const nanoseconds old_bound = aged(node.best, now - node.best_at);
  const nanoseconds apart = std::chrono::abs(sample.offset - node.best.offset);
  const bool was_set = apart > sample.bound + old_bound;
  if (!node.seen->clock || sample.bound <= old_bound || was_set) {
    node.best = sample;
    node.best_at = now;
  }
  node.seen->clock = ClockEstimate{node.best.offset, aged(node.best, now - node.best_at)};
}

HeadActions Head::tick(SteadyTime now, std::int64_t wall_ns) {
  HeadActions actions;
  // A head that was stopped has heard nobody meanwhile, and that says nothing of the others.
  ran_ += std::min<Span>(now - ticked_at_, 2 * kTick);
  ticked_at_ = now;
  for (auto each = links_.begin(); each != links_.end();) {
    const auto link = each++;
    if (link->second.node_rank >= 0 || now - link->second.since < kJoinPatience) continue;
    refuse(link->first, "it has not said who it is", "", to_int(ExitCode::kInternal), actions);
  }
  watch_silence(actions);
  if (!leaving_ && (!beat_at_ || now - *beat_at_ >= limits_.beat_every)) {
    beat(now, wall_ns, actions);
  }
  if (!all_here_ && !gave_up_ && !leaving_) say_missing(now, actions);
  return actions;
}

void Head::watch_silence(HeadActions& actions) {
  for (int rank = 1; rank < node_count_; ++rank) {
    Node& node = nodes_[static_cast<std::size_t>(rank)];
    if (!node.here) continue;
    const Span silence = ran_ - node.heard;
    if (silence >= limits_.lost_after) {
      lose(rank, "it has been silent for " + seconds_text(silence), actions);
    } else if (silence >= limits_.suspect_after && !node.suspect) {
      node.suspect = true;
      actions.push_back(action(What::kSuspect, rank,
                               name_of(rank) + " has been silent for " + seconds_text(silence)));
    }
  }
}

void Head::beat(SteadyTime now, std::int64_t wall_ns, HeadActions& actions) {
  beat_at_ = now;
  beats_.push_back({++beat_number_, wall_ns});
  if (beats_.size() > kBeatsKept) beats_.pop_front();
  protocol::HeadMessage message;
  message.mutable_beat()->set_number(beat_number_);
  message.mutable_beat()->set_sent(wall_ns);
  message.mutable_beat()->set_silence_allowed_ms(limits_.lost_after.count());
  const HeadActions sent = send_to_all(message);
  actions.insert(actions.end(), sent.begin(), sent.end());
}

void Head::say_missing(SteadyTime now, HeadActions& actions) {
  if (now - began_ >= limits_.join_timeout) {
    gave_up_ = true;
    const std::vector<int> absent = missing();
    actions.push_back(action(What::kMissing, -1,
                             node_ranks_text(absent) + (absent.size() == 1 ? " has" : " have") +
                                 " not joined within " + seconds_text(limits_.join_timeout) + " (" +
                                 std::to_string(here_count_) + " of " +
                                 std::to_string(node_count_) + " nodes have)"));
    return;
  }
  if (now - said_at_ < limits_.say_missing_every) return;
  said_at_ = now;
  actions.push_back(action(What::kWaiting, -1, "waits for " + missing_text()));
  protocol::HeadMessage message;
  message.mutable_waiting()->set_joined(here_count_);
  message.mutable_waiting()->set_node_count(node_count_);
  message.mutable_waiting()->set_missing(node_ranks_text(missing()));
  const HeadActions sent = send_to_all(message);
  actions.insert(actions.end(), sent.begin(), sent.end());
}

HeadActions Head::send(int node_rank, protocol::HeadMessage message) {
  HeadActions actions;
  const Node* node = node_at(node_rank);
  if (node == nullptr || !node->here) return actions;
  actions.push_back(sending(node->seen->link, node_rank, std::move(message)));
  return actions;
}

HeadActions Head::send_to_all(const protocol::HeadMessage& message) {
  HeadActions actions;
  actions.reserve(static_cast<std::size_t>(here_count_));
  for (int rank = 1; rank < node_count_; ++rank) {
    const Node& node = nodes_[static_cast<std::size_t>(rank)];
    if (node.here) actions.push_back(sending(node.seen->link, rank, message));
  }
  return actions;
}

}  // namespace muster::cluster
