// A collector: listens, finds out who connects, and lets one Receiver put into a store what comes.
// Belongs to one loop and its thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "collector/replication/address.h"
#include "collector/replication/handshake.h"
#include "collector/replication/receiver.h"
#include "collector/replication/replica_store.h"
#include "collector/replication/run_token.h"
#include "muster/result.h"

namespace muster::replication {

// Who takes connections whose handshake says LinkRole::kControl: the head of a run.  They are
// authenticated, and strangers' limits were theirs until then.  Called on the loop's thread.
class ControlRole {
 public:
  using Number = std::uint64_t;  // of such a connection, never used twice

  virtual ~ControlRole() = default;
  virtual void connected(Number link, const PeerHello& hello, const std::string& peer) = 0;
  // An Error closes the connection, after its output.
  virtual Result<> received(Number link, std::string_view bytes) = 0;
  virtual std::string take_output(Number link, std::size_t most) = 0;
  virtual void closed(Number link, const Error& why) = 0;
  // Somebody was refused, or has gone before it was known who it is.
  virtual void refused(const std::string& /*peer*/, const Error& /*why*/) {}
};

struct ServerSettings {
  Address listen;                         // port 0: a free one
  std::shared_ptr<const TokenKeys> keys;  // null: no token
  bool insecure = false;                  // tcp: take whoever comes
  ReceiverLimits limits = {};
  // Of connections that have not said who they are.
  std::size_t strangers = 64;       // beyond these the oldest go
  std::size_t tls_handshakes = 16;  // at a time, of these
  std::chrono::milliseconds handshake_limit{5000};
  std::function<void(const std::string& line)> log = [](const std::string&) {};
  ControlRole* control = nullptr;  // outlives the server; null: nobody takes such connections
};

class CollectorServer {
 public:
  // Errors: kUsage: an address that asks for a token and there is none; kPermission: the port or
  // path is not ours; kInternal: somebody listens there.
  static Result<std::unique_ptr<CollectorServer>> listen(EventLoop& loop, ReplicaStore& store,
                                                         ServerSettings settings);
  ~CollectorServer();

  Address address() const;  // with the port that it got
  // The store has finished something (a sync): what the receiver says to that is sent.  For the
  // store's callbacks, after each.
  void store_changed();
  // There may be output for a control connection.
  void control_output_ready(ControlRole::Number link);
  // Takes nothing more of it; closes it when what there is to say has gone.
  void close_control(ControlRole::Number link, const std::string& why);
  // Says goodbye to everybody and calls `done` when it has gone, or after two seconds.
  void shut_down(std::function<void()> done);

  std::size_t connections() const;  // that are authenticated
  const ReceiverTotals& totals() const;

 private:
  struct State;
  explicit CollectorServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::replication
