// How the two sides of a connection come to know each other, without input or output.
//
//   client                               server
//   preface, Hello          ─────────►
//                           ◄─────────   preface, Challenge
//   Proof                   ─────────►
//                           ◄─────────   Proof, and from then on frames of replication
//
// A preface is 16 bytes: the magic, the lowest and the highest version that a side speaks (16 bits
// each, little-endian), 32 capability bits.  Proofs are HMACs over everything that both sides have
// said until then and, with TLS, over the connection's exporter; so nothing of one connection is of
// use on another, and nobody between the two can take out versions or words.  Until a side has seen
// the other's proof it takes no more than kMostBytes and believes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "collector/replication/run_token.h"
#include "collector/replication/sender.h"
#include "collector/store/writer.h"
#include "muster/result.h"

namespace muster::replication {

struct VersionRange {
  std::uint16_t lowest = 1;
  std::uint16_t highest = 1;
};

struct HandshakeSettings {
  const TokenKeys* keys = nullptr;  // outlives the handshake; null: there is no token
  bool must_authenticate = true;    // go on only with somebody who has the same token
  std::string exporter = {};        // TLS's, of this connection; empty without TLS
  std::string nonce;                // kKeySize random bytes, for this connection alone
  VersionRange versions = {};
  std::uint32_t capabilities = 0;
  std::string listener = "collector";  // what listens, for messages: "head"
  bool takes_control = false;          // of who listens: LinkRole::kControl may come in
};

// What whoever connects says of itself.
struct PeerHello {
  store::Writer writer;
  LinkRole role = LinkRole::kLive;
  std::string software;  // "muster 0.6.0"
};

class Handshake {
 public:
  static constexpr std::size_t kMostBytes = 4096;

  explicit Handshake(HandshakeSettings settings) : settings_(std::move(settings)) {}
  virtual ~Handshake() = default;
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  // An Error: send what take_output() has, if anything, and close.  kPermission: the token; kUsage:
  // versions that do not meet; kInternal: no peer of ours.
  Result<> receive(std::string_view bytes);
  std::string take_output();
  bool done() const { return done_; }
  // What came after the other side's last word; once it is done.
  std::string take_rest();

  // Once it is done.
  std::uint16_t version() const { return version_; }
  std::uint32_t capabilities() const { return capabilities_; }  // of both
  bool authenticated() const { return authenticated_; }

 protected:
  enum class Message : std::uint8_t {
    kHello = 1,
    kChallenge = 2,
    kClientProof = 3,
    kServerProof = 4,
    kRefusal = 5
  };

  void say_preface();
  void say(Message type, const std::string& payload);
  std::string proof(const Key& key, std::string_view purpose, std::string_view over) const;
  // Everything that both have said until now, the client's words first.
  std::string transcript(bool we_are_client) const;

  // What the other side said; the transcript has it already.
  virtual Result<> on_preface() = 0;
  virtual Result<> on_message(Message type, std::string_view payload) = 0;
  Result<> agree_on_version(const std::string& peer);

  HandshakeSettings settings_;
  VersionRange peer_versions_;
  std::uint32_t capabilities_ = 0;
  std::uint16_t version_ = 0;
  bool authenticated_ = false;
  bool done_ = false;

 private:
  Result<bool> take_one();

  std::string said_;
  std::string heard_;
  std::string input_;
  std::string output_;
  bool has_preface_ = false;
};

class ClientHandshake final : public Handshake {
 public:
  ClientHandshake(HandshakeSettings settings, const PeerHello& self);

 private:
  Result<> on_preface() override;
  Result<> on_message(Message type, std::string_view payload) override;
  Result<> on_challenge(std::string_view payload);

  bool challenged_ = false;
  std::string agreed_;  // what both proofs are about
};

class ServerHandshake final : public Handshake {
 public:
  explicit ServerHandshake(HandshakeSettings settings);

  // Once it is done; before, what it claims to be, for messages.
  const std::optional<PeerHello>& peer() const { return peer_; }

 private:
  Result<> on_preface() override;
  Result<> on_message(Message type, std::string_view payload) override;
  Result<> on_hello(std::string_view payload);
  Failure refuse(ErrorCode code, const std::string& why, const std::string& hint);

  std::optional<PeerHello> peer_;
};

}  // namespace muster::replication
