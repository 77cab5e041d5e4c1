// What a node does for its ranks: pipes and stored streams, agents, what starts them, what is left
// of them.  Decides nothing.
//
// Execution (the head) has one of these for each node: LocalHands, which does it, and RemoteHands,
// which has a member's launcher do it; that launcher has LocalHands of its own and passes on what
// they say.  So ranks of all nodes are one world to the one Supervision.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/process.h"
#include "node.pb.h"

namespace muster::exec {

// Whom hands tell what happens, on the loop's thread.
class HandsListener {
 public:
  virtual ~HandsListener() = default;
  // Whether a rank whose agent comes now may still start; and whether one is still awaited.
  virtual bool accepts_ranks() const = 0;
  virtual bool awaits_ranks() const = 0;
  virtual void agent_connected(int rank) = 0;  // it has its spec now
  virtual void agent_said(int rank, const protocol::AgentMessage& message) = 0;
  virtual void agent_gone(int rank) = 0;  // its connection ended, or it never came
  virtual void gpus_seen(int rank, const std::set<std::string>& uuids) = 0;
  // What was started to bring the ranks to life has ended: mpirun; without it, after leave(), every
  // agent of that node.
  virtual void starter_ended(int node_rank, const ExitStatus& status) = 0;
  virtual void agents_left(
      int node_rank) = 0;                   // after leave(): nobody of the run is connected there
  virtual void drained(int node_rank) = 0;  // after leave(): every stream there is at its end
  // mpirun's helper wants a daemon on some node, and waits for news of it; the helper is gone; a
  // daemon of this node has ended.
  virtual void daemon_wanted(int helper, const protocol::DaemonWanted& wanted) = 0;
  virtual void helper_gone(int helper) = 0;
  virtual void daemon_ended(int id, int wait_status) = 0;
};

class NodeHands {
 public:
  virtual ~NodeHands() = default;
  virtual int node_rank() const = 0;
  // To the agent of `rank`; nothing happens when it is not connected.
  virtual void send(int rank, const protocol::LauncherMessage& message) = 0;
  virtual std::vector<int> connected_ranks() const = 0;
  // How the agent of `rank` ended, where its parent knows it: "killed by SIGKILL (signal 9)"; else
  // "".
  virtual std::string agent_end(int rank) = 0;
  // Every rank of the run has ended, or never will start: agents leave, streams are read to their
  // ends.
  virtual void leave() = 0;
  virtual void kill_starter() = 0;
  virtual void cut_streams(const std::string& why) = 0;
};

}  // namespace muster::exec
