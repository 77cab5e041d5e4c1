// What a node does for its ranks: pipes and stored streams, agents, what starts them, what is left
// of them.  Decides nothing.
//
// Execution (the head) has one of these for each node: LocalHands, which does it, and RemoteHands,
// which has a member's launcher do it; that launcher has LocalHands of its own and passes on what
// they say.  So ranks of all nodes are one world to the one Supervision.
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "base/process.h"
#include "launcher/plan/run_outcome.h"
#include "node.pb.h"

namespace muster::exec {

// Whom hands tell what happens, on the loop's thread.
class HandsListener {
 public:
  virtual ~HandsListener() = default;
  virtual void agent_connected(int rank) = 0;  // it has its spec now
  virtual void agent_said(int rank, const protocol::AgentMessage& message) = 0;
  // Its connection ended; `how` where its parent knows: "killed by SIGKILL (signal 9)".
  virtual void agent_gone(int rank, const std::string& how) = 0;
  virtual void gpus_seen(int rank, const std::set<std::string>& uuids) = 0;
  virtual void agents_left(
      int node_rank) = 0;                   // after leave(): nobody of the run is connected there
  virtual void drained(int node_rank) = 0;  // every stream there is at its end
  // Of the agents that the launcher started itself (no mpirun): all of them have ended.
  virtual void starter_ended(int node_rank, const ExitStatus& status) = 0;
};

class NodeHands {
 public:
  virtual ~NodeHands() = default;
  virtual int node_rank() const = 0;
  virtual const std::vector<int>& ranks() const = 0;
  // To the agent of `rank`; nothing happens when it is not connected.
  virtual void send(int rank, const protocol::LauncherMessage& message) = 0;
  virtual bool is_connected(int rank) const = 0;
  // Every rank everywhere has ended, or never will start: agents leave, streams are read to their
  // ends.
  virtual void leave() = 0;
  virtual void kill_starter() = 0;
  virtual void cut_streams(const std::string& why) = 0;
};

}  // namespace muster::exec
