// The head's side of a cluster as a state machine without effects: who has joined, who is missing,
// who is silent.  Time and messages go in, messages and verdicts come out.  docs/cluster.md.
//
// What ranks do is not its business: messages about them pass through (Event::kMessage).
#pragma once

#include <chrono>
#include <cstdint>
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
  // 250 ms, after what sockets had to say.
  HeadActions tick(SteadyTime now, std::int64_t wall_ns);
  // Of the owner: to a node, or to all.
  HeadActions send(int node_rank, protocol::HeadMessage message);
  HeadActions send_to_all(const protocol::HeadMessage& message);
  // The run is over: nobody is lost any more who leaves.
  void expect_leaving();

  bool all_here() const;
  std::vector<int> missing() const;
  const NodeSeen* node(int node_rank) const;
  std::optional<SteadyTime> next_deadline() const;
};

}  // namespace muster::cluster
