// As in AgentServer a connection is known by a number, not by a pointer: answering may close it.

#include "launcher/exec/control_server.h"

#include <unistd.h>

namespace muster::exec {
namespace {

constexpr int kMaxNotices = 20;  // a client in a loop must not fill the log

std::string name_of(const PeerCredentials& peer) {
  return "process " + std::to_string(peer.pid) + " of user " + std::to_string(peer.uid);
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::listen(EventLoop& loop,
                                                             const std::filesystem::path& socket,
                                                             ControlHandler& handler) {
  constexpr int kBacklog = 128;
  MUSTER_TRY_ASSIGN(Fd listener, listen_unix(socket, kBacklog));
  return std::make_unique<ControlServer>(loop, std::move(listener), handler);
}

ControlServer::ControlServer(EventLoop& loop, Fd listener, ControlHandler& handler)
    : loop_(loop),
      handler_(handler),
      listener_(std::move(listener)),
      acceptable_(loop.on_readable(listener_.get(), [this] { accept_all(); })) {}

void ControlServer::accept_all() {
  while (true) {
    auto socket = accept_unix(listener_);
    if (!socket) {
      // Out of descriptors: the client stays in the queue, and asking at once again would spin.
      note("a client cannot be accepted: " + socket.error().message);
      acceptable_ = loop_.at(EventLoop::Clock::now() + std::chrono::seconds(1), [this] {
        acceptable_ = loop_.on_readable(listener_.get(), [this] { accept_all(); });
      });
      return;
    }
    if (!*socket) return;
    const auto peer = peer_credentials(*socket);
    if (!peer) continue;
    make_room();
    const std::int64_t id = next_id_++;
    auto connection = std::make_unique<Connection>(std::move(*socket), *peer);
    connection->readable = loop_.on_readable(connection->channel.fd(), [this, id] { read(id); });
    connections_[id] = std::move(connection);
    // The directory is 0700; this holds also where somebody widened it.
    if (peer->uid != ::geteuid() && peer->uid != 0) {
      protocol::ControlReply reply;
      reply.set_refused("this run belongs to user " + std::to_string(::geteuid()) +
                        ", and you are user " + std::to_string(peer->uid));
      send(id, reply);
      note("refused " + name_of(*peer));
      close(id);
    }
  }
}

// The one that has said nothing for the longest goes; those that watch are meant to be silent.
void ControlServer::make_room() {
  if (connections_.size() < kMaxConnections) return;
  auto oldest = connections_.begin();
  for (auto one = connections_.begin(); one != connections_.end(); ++one) {
    const auto rank = [](const Connection& each) {
      return std::pair(each.watches, each.last_request);
    };
    if (rank(*one->second) < rank(*oldest->second)) oldest = one;
  }
  note("closed the connection of " + name_of(oldest->second->peer) + ": there are more than " +
       std::to_string(kMaxConnections));
  connections_.erase(oldest);
}

void ControlServer::read(std::int64_t id) {
  const auto alive = connections_.at(id)->channel.receive();
  while (true) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    auto request = found->second->channel.next_request();
    if (!request) {
      note("closed the connection of " + name_of(found->second->peer) + ": " +
           request.error().message);
      return close(id);
    }
    if (!*request) break;
    answer(id, **request);
  }
  if (!alive || !*alive) close(id);
}

void ControlServer::answer(std::int64_t id, const protocol::ControlRequest& request) {
  using protocol::ControlRequest;
  Connection& connection = *connections_.at(id);
  connection.last_request = EventLoop::Clock::now();
  protocol::ControlReply reply;
  switch (request.request_case()) {
    case ControlRequest::kStatus: *reply.mutable_status() = handler_.run_status(); break;
    case ControlRequest::kCancel:
      *reply.mutable_cancel() = handler_.cancel(request.cancel().now(), connection.peer);
      break;
    case ControlRequest::kWatch: connection.watches = true; return send_state(id);
    case ControlRequest::REQUEST_NOT_SET:
      reply.set_refused("this launcher does not know the request; it is older than you are");
      break;
  }
  send(id, reply);
}

void ControlServer::state_changed() {
  std::vector<std::int64_t> watchers;
  for (const auto& [id, connection] : connections_) {
    if (connection->watches) watchers.push_back(id);
  }
  for (const std::int64_t id : watchers) send_state(id);
}

void ControlServer::send_state(std::int64_t id) {
  Connection& connection = *connections_.at(id);
  connection.state_is_due = connection.channel.has_unsent();
  if (connection.state_is_due) return;
  protocol::ControlReply reply;
  *reply.mutable_state() = handler_.run_state();
  send(id, reply);
}

void ControlServer::send(std::int64_t id, const protocol::ControlReply& reply) {
  Connection& connection = *connections_.at(id);
  if (const auto sent = connection.channel.send(reply); !sent) {
    // One that went away before its answer is no news.
    if (connection.channel.has_unsent()) {
      note("closed the connection of " + name_of(connection.peer) + ": " + sent.error().message);
    }
    return close(id);
  }
  flush(id);
}

void ControlServer::flush(std::int64_t id) {
  Connection& connection = *connections_.at(id);
  if (!connection.channel.flush()) return close(id);
  if (connection.channel.has_unsent()) {
    if (!connection.writable) {
      connection.writable = loop_.on_writable(connection.channel.fd(), [this, id] { flush(id); });
    }
    return;
  }
  connection.writable = EventLoop::Watch();
  if (connection.state_is_due) send_state(id);
}

bool ControlServer::has_unsent() const {
  for (const auto& [id, connection] : connections_) {
    if (connection->channel.has_unsent()) return true;
  }
  return false;
}

void ControlServer::note(const std::string& text) {
  if (++notices_ > kMaxNotices) return;
  handler_.control_notice("control socket: " + text +
                          (notices_ == kMaxNotices ? " (more of this is not noted)" : ""));
}

}  // namespace muster::exec
