// The node's socket: agents connect to it, and messages go both ways by rank.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/fd.h"
#include "muster/result.h"
#include "protocol/node_channel.h"

namespace muster::exec {

// What the server tells its owner, on the loop's thread.
class AgentHandler {
 public:
  virtual ~AgentHandler() = default;
  // A new agent said which rank it is; it is connected under that rank from now on.
  virtual void agent_connected(int rank) = 0;
  virtual void agent_said(int rank, const protocol::AgentMessage& message) = 0;
  // Its connection ended.
  virtual void agent_gone(int rank) = 0;
  // mpirun wants a daemon, and `helper` waits for news of it; and the helper is gone.
  virtual void daemon_wanted(int helper, const protocol::DaemonWanted& wanted) = 0;
  virtual void helper_gone(int helper) = 0;
};

class AgentServer {
 public:
  static Result<std::unique_ptr<AgentServer>> listen(EventLoop& loop,
                                                     const std::filesystem::path& socket,
                                                     std::set<int> ranks, AgentHandler& handler);
  AgentServer(EventLoop& loop, Fd listener, std::set<int> ranks, AgentHandler& handler);

  // To the agent of `rank`; nothing happens when it is not connected (its end is told separately).
  void send(int rank, const protocol::LauncherMessage& message, const std::vector<int>& fds = {});
  // To a helper that wants a daemon; nothing happens when it is gone.
  void answer(int helper, const protocol::LauncherMessage& message);
  bool is_connected(int rank) const { return by_rank_.contains(rank); }
  std::vector<int> connected_ranks() const;
  std::set<pid_t> connected_agents() const;

 private:
  struct Connection {
    explicit Connection(Fd socket) : channel(std::move(socket)) {}

    protocol::NodeChannel channel;
    pid_t peer_pid = 0;
    int rank = -1;  // until it said hello
    bool is_helper = false;
    EventLoop::Watch readable;
    EventLoop::Watch writable;  // only while something is unsent
  };

  void accept_all();
  void read(int id);
  // "" when the agent may have its rank, else why not.
  std::string why_refused(const Connection& connection, const protocol::AgentHello& hello) const;
  void welcome(int id, const protocol::AgentHello& hello);
  void help(int id, const protocol::DaemonWanted& wanted);
  void flush(int id);
  void close(int id);

  EventLoop& loop_;
  AgentHandler& handler_;
  std::set<int> ranks_;  // of this node
  Fd listener_;
  int next_id_ = 0;
  std::map<int, std::unique_ptr<Connection>> connections_;  // by id
  std::map<int, int> by_rank_;                              // rank → id
  EventLoop::Watch acceptable_;
};

}  // namespace muster::exec
