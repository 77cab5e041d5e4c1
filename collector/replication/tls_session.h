// TLS 1.3 with a pre-shared key and nothing else: no certificates on either side, no tickets, no
// early data.  Bytes in, bytes out; whoever has a socket moves them.
//
// A PSK alone authenticates nobody: a client that offers one completes a handshake with a server
// that has only a certificate.  So each side goes on only if the session was resumed from the PSK,
// and the replication's handshake then proves the key over the exporter (handshake.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collector/replication/run_token.h"
#include "muster/result.h"

namespace muster::replication {

enum class TlsSide { kClient, kServer };

// Settings of many sessions with one key.
class TlsContext {
 public:
  static Result<TlsContext> create(TlsSide side, const Key& psk);
  TlsContext(TlsContext&&) noexcept;
  TlsContext& operator=(TlsContext&&) noexcept;
  ~TlsContext();

 private:
  friend class TlsSession;
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class TlsSession {
 public:
  explicit TlsSession(const TlsContext& context);  // which outlives it
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // The client's first words, then what the peer's bytes ask for; what the peer has to say comes
  // out of `plain`, in pieces.  An Error of its own or of `plain`: send the output and close.
  Result<> receive(std::string_view encrypted,
                   const std::function<Result<>(std::string_view)>& plain);
  bool ready() const { return ready_; }
  std::string exporter() const;  // when it is ready

  Result<> send(std::string_view plain);
  void say_end();  // the peer can tell an end from a cut
  // Encrypted bytes for the peer.
  std::string take_output();

 private:
  struct State;
  Result<> shake();
  Failure failed(const std::string& doing);

  std::unique_ptr<State> state_;
  bool ready_ = false;
};

// Whether these first bytes can begin a TLS ClientHello: for whoever accepts strangers.  nullopt:
// too few to tell.
std::optional<bool> begins_tls(std::string_view bytes);

}  // namespace muster::replication
