// One socket between a sender and a receiver: TLS where the address asks for it, the handshake, and
// then the bytes of a state machine both ways.  Belongs to one loop and its thread.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/fd.h"
#include "collector/replication/handshake.h"
#include "collector/replication/tls_session.h"
#include "muster/result.h"

namespace muster::replication {

class Connection;

// Who a connection works for.  closed() is the last call about it, comes from the loop, and may
// destroy the connection; from inside the others it must not be destroyed.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // Before memory and time go into TLS for a stranger.
  virtual void starts_tls(Connection&) {}
  virtual void connected(Connection& connection) = 0;  // the handshake is done
  // An Error closes the connection, after its output.
  virtual Result<> received(Connection& connection, std::string_view bytes) = 0;
  virtual std::string take_output(Connection& connection, std::size_t most) = 0;
  virtual void closed(Connection& connection, const Error& why) = 0;
};

class Connection {
 public:
  static constexpr std::size_t kMostBytesATurn = 256U << 10;

  struct Setup {
    TlsSide side = TlsSide::kClient;
    const TlsContext* tls = nullptr;  // outlives the connection; null: none
    // Makes the handshake when TLS, if any, is ready; its exporter is "" without.
    std::function<std::unique_ptr<Handshake>(std::string exporter)> handshake;
    std::chrono::milliseconds handshake_limit{5000};
    std::string peer;  // "10.0.0.7:41232", for messages
  };

  // `buffer` is for the time of a call; connections of one loop share it.
  Connection(EventLoop& loop, Fd socket, Setup setup, std::span<char> buffer,
             ConnectionOwner& owner);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool is_up() const { return state_ == State::kUp; }
  bool has_tls() const { return session_ != nullptr; }
  const Handshake* handshake() const { return handshake_.get(); }
  const std::string& peer() const { return setup_.peer; }

  // take_output() may have something now.
  void output_ready();
  // Takes nothing more; closes when what there is to say has gone, or after a second.
  void close(const Error& why);
  // At once.
  void drop(const Error& why);

 private:
  enum class State { kShaking, kUp, kClosing, kClosed };

  void on_readable();
  Result<> feed(std::string_view bytes);  // from the socket
  Result<> feed_plain(std::string_view bytes);
  Result<> begin_tls();
  Result<> begin_handshake();
  void queue(std::string plain);
  void flush();
  void finish();

  EventLoop& loop_;
  Fd socket_;
  Setup setup_;
  std::span<char> buffer_;
  ConnectionOwner& owner_;
  State state_ = State::kShaking;
  std::string first_bytes_;  // of a stranger, until they can be told from noise
  std::unique_ptr<TlsSession> session_;
  std::unique_ptr<Handshake> handshake_;
  std::size_t bytes_before_up_ = 0;
  std::deque<std::string> output_;
  std::size_t output_bytes_ = 0;
  std::size_t sent_of_first_ = 0;
  bool said_end_ = false;
  std::optional<Error> why_;
  EventLoop::Watch readable_;
  EventLoop::Watch writable_;
  EventLoop::Watch deadline_;
  EventLoop::Watch farewell_;
};

}  // namespace muster::replication
