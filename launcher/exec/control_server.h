// The run's control socket: `muster status`, `cancel` and `attach` connect to it.  Whatever a
// client does (sends garbage, reads nothing, comes a thousand times) costs itself its connection
// and the run nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/fd.h"
#include "base/unix_socket.h"
#include "muster/result.h"
#include "protocol/control_channel.h"

namespace muster::exec {

// Answers the requests, on the loop's thread.
class ControlHandler {
 public:
  virtual ~ControlHandler() = default;
  virtual protocol::RunStatus run_status() = 0;
  virtual protocol::RunState run_state() = 0;
  virtual protocol::CancelReply cancel(bool now, const PeerCredentials& by) = 0;
  // Something for the launcher's log.
  virtual void control_notice(const std::string& text) = 0;
};

class ControlServer {
 public:
  static constexpr std::size_t kMaxConnections = 128;

  static Result<std::unique_ptr<ControlServer>> listen(EventLoop& loop,
                                                       const std::filesystem::path& socket,
                                                       ControlHandler& handler);
  ControlServer(EventLoop& loop, Fd listener, ControlHandler& handler);

  // Tells the state to everybody who watches.  Who has not read the last one yet gets the newest
  // once they have.
  void state_changed();

  std::size_t connection_count() const { return connections_.size(); }
  // Whether some client has not taken all that was sent to it.
  bool has_unsent() const;

 private:
  struct Connection {
    Connection(Fd socket, PeerCredentials who)
        : channel(std::move(socket), protocol::ControlChannel::Side::kLauncher), peer(who) {}

    protocol::ControlChannel channel;
    PeerCredentials peer;
    bool watches = false;
    bool state_is_due = false;
    EventLoop::Clock::time_point last_request = EventLoop::Clock::now();
    EventLoop::Watch readable;
    EventLoop::Watch writable;  // only while something is unsent
  };

  void accept_all();
  void make_room();
  void read(std::int64_t id);
  void answer(std::int64_t id, const protocol::ControlRequest& request);
  void send(std::int64_t id, const protocol::ControlReply& reply);
  void send_state(std::int64_t id);
  void flush(std::int64_t id);
  void close(std::int64_t id) { connections_.erase(id); }
  void note(const std::string& text);

  EventLoop& loop_;
  ControlHandler& handler_;
  Fd listener_;
  std::int64_t next_id_ = 0;
  int notices_ = 0;
  std::map<std::int64_t, std::unique_ptr<Connection>> connections_;  // by id, oldest first
  EventLoop::Watch acceptable_;
};

}  // namespace muster::exec
