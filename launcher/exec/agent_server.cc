// A connection is known by a number, not by a pointer: a handler may close connections while
// messages of one of them are being handed on.

#include "launcher/exec/agent_server.h"

#include <unistd.h>

#include "base/unix_socket.h"
#include "muster/version.h"

namespace muster::exec {

Result<std::unique_ptr<AgentServer>> AgentServer::listen(EventLoop& loop,
                                                         const std::filesystem::path& socket,
                                                         std::set<int> ranks,
                                                         AgentHandler& handler) {
  constexpr int kBacklog = 1024;
  MUSTER_TRY_ASSIGN(Fd listener, listen_unix(socket, kBacklog));
  return std::make_unique<AgentServer>(loop, std::move(listener), std::move(ranks), handler);
}

AgentServer::AgentServer(EventLoop& loop, Fd listener, std::set<int> ranks, AgentHandler& handler)
    : loop_(loop),
      handler_(handler),
      ranks_(std::move(ranks)),
      listener_(std::move(listener)),
      acceptable_(loop.on_readable(listener_.get(), [this] { accept_all(); })) {}

void AgentServer::accept_all() {
  while (true) {
    auto socket = accept_unix(listener_);
    if (!socket || !*socket) return;
    const auto peer = peer_credentials(*socket);
    // The directory is 0700; this holds also where somebody widened it.
    if (!peer || peer->uid != ::getuid()) continue;
    const int id = next_id_++;
    auto connection = std::make_unique<Connection>(std::move(*socket));
    connection->peer_pid = peer->pid;
    connection->readable = loop_.on_readable(connection->channel.fd(), [this, id] { read(id); });
    connections_[id] = std::move(connection);
  }
}

void AgentServer::read(int id) {
  const auto alive = connections_.at(id)->channel.receive();
  while (true) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    auto message = found->second->channel.next_agent_message();
    if (!message) return close(id);  // garbage: nothing after it can be trusted
    if (!*message) break;
    if ((*message)->has_hello()) {
      welcome(id, (*message)->hello());
    } else if ((*message)->has_daemon_wanted()) {
      help(id, (*message)->daemon_wanted());
    } else if (found->second->rank >= 0) {
      handler_.agent_said(found->second->rank, **message);
    }
  }
  if (!alive || !*alive) close(id);
}

std::string AgentServer::why_refused(const Connection& connection,
                                     const protocol::AgentHello& hello) const {
  const std::string rank = "rank " + std::to_string(hello.rank());
  if (hello.version() != kVersion) {
    return "agent version " + hello.version() + ", launcher version " + kVersion;
  }
  if (hello.pid() != connection.peer_pid) return "the kernel names another process";
  if (!ranks_.contains(hello.rank())) return rank + " is not part of this run";
  if (connection.rank >= 0 || by_rank_.contains(hello.rank()))
    return rank + " has an agent already";
  return "";
}

void AgentServer::welcome(int id, const protocol::AgentHello& hello) {
  Connection& connection = *connections_.at(id);
  if (const std::string why = why_refused(connection, hello); !why.empty()) {
    protocol::LauncherMessage message;
    message.set_refuse(why);
    static_cast<void>(connection.channel.send(message));
    return;
  }
  connection.rank = hello.rank();
  by_rank_[hello.rank()] = id;
  handler_.agent_connected(hello.rank());
}

void AgentServer::help(int id, const protocol::DaemonWanted& wanted) {
  Connection& connection = *connections_.at(id);
  if (connection.is_helper || connection.rank >= 0) return;
  protocol::LauncherMessage refusal;
  if (wanted.version() != kVersion) {
    refusal.set_refuse("agent version " + wanted.version() + ", launcher version " + kVersion);
  } else if (wanted.pid() != connection.peer_pid) {
    refusal.set_refuse("the kernel names another process");
  } else {
    connection.is_helper = true;
    handler_.daemon_wanted(id, wanted);
    return;
  }
  static_cast<void>(connection.channel.send(refusal));
}

void AgentServer::answer(int helper, const protocol::LauncherMessage& message) {
  const auto found = connections_.find(helper);
  if (found == connections_.end() || !found->second->is_helper) return;
  static_cast<void>(found->second->channel.send(message));
  flush(helper);
}

void AgentServer::send(int rank, const protocol::LauncherMessage& message,
                       const std::vector<int>& fds) {
  const auto found = by_rank_.find(rank);
  if (found == by_rank_.end()) return;
  const int id = found->second;
  // An error here is a peer that is gone: reading its end says so in order with what it said
  // before.
  static_cast<void>(connections_.at(id)->channel.send(message, fds));
  flush(id);
}

void AgentServer::flush(int id) {
  Connection& connection = *connections_.at(id);
  const auto flushed = connection.channel.flush();
  if (!flushed || !connection.channel.has_unsent()) {
    connection.writable = EventLoop::Watch();
  } else if (!connection.writable) {
    connection.writable = loop_.on_writable(connection.channel.fd(), [this, id] { flush(id); });
  }
}

void AgentServer::close(int id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const int rank = found->second->rank;
  const bool was_helper = found->second->is_helper;
  connections_.erase(found);
  if (was_helper) handler_.helper_gone(id);
  if (rank < 0) return;
  by_rank_.erase(rank);
  handler_.agent_gone(rank);
}

std::set<pid_t> AgentServer::connected_agents() const {
  std::set<pid_t> agents;
  for (const auto& [rank, id] : by_rank_) agents.insert(connections_.at(id)->peer_pid);
  return agents;
}

std::vector<int> AgentServer::connected_ranks() const {
  std::vector<int> ranks;
  for (const auto& [rank, id] : by_rank_) ranks.push_back(rank);
  return ranks;
}

}  // namespace muster::exec
