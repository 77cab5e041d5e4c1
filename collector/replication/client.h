// The way of one run store to a collector: a Sender and its connections, on a thread of their own.
//
// The thread dials, and dials again for as long as the client lives; what the collector lacks is
// read from the source when there is a connection.  All calls but the destructor may come from any
// thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "collector/replication/address.h"
#include "collector/replication/run_token.h"
#include "collector/replication/sender.h"
#include "collector/store/writer.h"
#include "muster/result.h"

namespace muster::replication {

struct ClientSettings {
  Address collector;
  std::shared_ptr<const TokenKeys> keys;  // null: no token
  bool insecure = false;                  // tcp: send to whoever listens
  store::Writer writer;
};

// Errors: kUsage: that address asks for a token and there is none.
Result<> check_settings(const Address& collector, const std::shared_ptr<const TokenKeys>& keys,
                        bool insecure);

struct ClientState {
  bool connected = false;  // the live link
  std::chrono::steady_clock::time_point since;
  std::optional<Error> trouble;  // why the last try failed; none while connected
  // It is about the token or the version: trying again helps only when somebody changes something.
  bool refused = false;
  bool answers = false;  // somebody is there, and yet it is in trouble
};

// "which is not there", for a sentence about a collector that one waits for; "" while it takes the
// run.
std::string whereabouts(const ClientState& state);

class SenderClient {
 public:
  // `after_turn` is called on the client's thread whenever something may have happened: for
  // take_events(), watermarks(), and what follows from them.  `source` is read on that thread, too.
  // Errors: kUsage: the address asks for a token and there is none.
  static Result<std::unique_ptr<SenderClient>> start(ClientSettings settings, StreamSource& source,
                                                     std::function<void(Sender&)> after_turn);
  // Closes the connections and waits for the thread; what was not sent is not sent.
  ~SenderClient();

  // Runs on the client's thread, soon, in the order of the calls; what then can be sent is sent.
  void call(std::function<void(Sender&)> work);
  // There are files: they get a connection of their own.
  void open_bulk();
  ClientState state() const;

 private:
  struct Impl;
  explicit SenderClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::replication
