// The head's side of a cluster as a state machine without effects: who has joined, who is missing,
// who is silent.  Time and messages go in, messages and verdicts come out.  docs/cluster.md.
//
// What ranks do is not its business: messages about them pass through (HeadAction::What::kMessage).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster.pb.h"
#include "muster/result.h"

namespace muster::cluster {

using SteadyTime = std::chrono::steady_clock::time_point;
using LinkId = std::uint64_t;  // of a connection that is authenticated; never used twice

struct HeadLimits {
  std::chrono::milliseconds join_timeout{600'000};
  std::chrono::milliseconds beat_every{1'000};
  std::chrono::milliseconds suspect_after{3'000};
  std::chrono::milliseconds lost_after{35'000};
  std::chrono::milliseconds say_missing_every{5'000};
};

// How far a node's clock is ahead of the head's.
struct ClockEstimate {
  std::chrono::nanoseconds offset{0};
  std::chrono::nanoseconds bound{0};  // it is off by this at most
};

struct NodeSeen {
  int node_rank = 0;
  std::string hostname;
  protocol::Join join;  // as it came
  LinkId link = 0;
  std::optional<ClockEstimate> clock;
};

// What the owner does, in this order.
struct HeadAction {
  enum class What {
    kSend,     // `message` to `link`
    kClose,    // `link`, after what was sent
    kJoined,   // `node_rank` has joined
    kAllHere,  // every node has: once
    kMissing,  // join_timeout is over: `text` names who is missing
    kWaiting,  // `text` for a person: whom the run waits for; every few seconds
    kMessage,  // `received` of `node_rank`: for whoever runs the ranks
    kSuspect,  // `node_rank` is silent: `text`
    kWakes,    // it was suspect and speaks again
    kLost,     // it is gone: `text` names it and says how that is known
    kRefused,  // somebody was: `text`, for the log and the console
  };
  What what = What::kSend;
  LinkId link = 0;
  int node_rank = -1;
  std::string text = {};
  protocol::HeadMessage message = {};
  protocol::MemberMessage received = {};
};
using HeadActions = std::vector<HeadAction>;

class Head {
 public:
  // `own`: the head's own facts, as if it had joined as node rank 0.
  Head(int node_count, protocol::Join own, HeadLimits limits, SteadyTime now);

  HeadActions connected(LinkId link, const std::string& peer, SteadyTime now);
  // `wall_ns`: CLOCK_REALTIME when it came.
  HeadActions received(LinkId link, const protocol::MemberMessage& message, SteadyTime now,
                       std::int64_t wall_ns);
  // The connection ended: `why`.
  HeadActions closed(LinkId link, const std::string& why, SteadyTime now);
  // Also says that this process ran: silence counts only while it does.  Called at least every
  // kTick, after what sockets had to say.
  HeadActions tick(SteadyTime now, std::int64_t wall_ns);
  // Of the owner: to a node, or to all that are here.
  HeadActions send(int node_rank, protocol::HeadMessage message);
  HeadActions send_to_all(const protocol::HeadMessage& message);
  // The run is over: nobody is lost any more who leaves, and nobody joins.
  void expect_leaving() { leaving_ = true; }

  bool all_here() const { return all_here_; }
  std::vector<int> missing() const;
  // Of a node that has joined, also when it was lost since; null: it never has.
  const NodeSeen* node(int node_rank) const;
  // How far that node's clock is ahead of the head's; nullopt: it was not measured yet.
  std::optional<ClockEstimate> clock_of(int node_rank, SteadyTime now) const;
  std::optional<SteadyTime> next_deadline() const { return ticked_at_ + kTick; }

  static constexpr std::chrono::milliseconds kTick{250};
  static constexpr std::chrono::milliseconds kJoinPatience{10'000};  // of a link that says nothing

 private:
  using Span = std::chrono::steady_clock::duration;

  struct Link {
    std::string peer;  // "10.0.0.7:41232"
    int node_rank = -1;
    SteadyTime since;
  };

  struct Node {
    std::optional<NodeSeen> seen;
    bool here = false;
    bool suspect = false;
    Span heard{0};  // in time that this process ran
    // The best of what was measured of its clock, and when.
    ClockEstimate best;
    SteadyTime best_at;
  };

  struct SentBeat {
    std::uint64_t number = 0;
    std::int64_t sent = 0;
  };

  Node* node_at(int node_rank);
  std::string name_of(int node_rank) const;  // "node-b (node rank 2)"
  void let_go_of_the_same(const protocol::Join& join, HeadActions& actions);
  void join(LinkId link, const protocol::Join& join, HeadActions& actions);
  // Why that Join cannot be; sets the exit code.
  std::string why_not(const protocol::Join& join, std::string& hint, int& exit_code) const;
  void refuse(LinkId link, const std::string& why, const std::string& hint, int exit_code,
              HeadActions& actions);
  void measure(Node& node, const protocol::BeatReply& reply, SteadyTime now, std::int64_t wall_ns);
  void lose(int node_rank, const std::string& why, HeadActions& actions);
  void watch_silence(HeadActions& actions);
  void beat(SteadyTime now, std::int64_t wall_ns, HeadActions& actions);
  void say_missing(SteadyTime now, HeadActions& actions);
  std::string missing_text() const;

  const int node_count_;
  const protocol::Join own_;
  const HeadLimits limits_;
  const SteadyTime began_;
  std::map<LinkId, Link> links_;
  std::vector<Node> nodes_;  // by node rank
  int here_count_ = 1;
  bool all_here_ = false;
  bool gave_up_ = false;  // join_timeout is over
  bool leaving_ = false;
  SteadyTime ticked_at_;
  Span ran_{0};  // how long this process ran, as far as its ticks say
  std::optional<SteadyTime> beat_at_;
  SteadyTime said_at_;
  std::uint64_t beat_number_ = 0;
  std::deque<SentBeat> beats_;  // the last ones
};

// "node rank 3", "node ranks 3, 5-7 and 12 more": of sorted numbers.
std::string node_ranks_text(const std::vector<int>& ranks);

}  // namespace muster::cluster
