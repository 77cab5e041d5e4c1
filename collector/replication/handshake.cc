#include "collector/replication/handshake.h"

#include <algorithm>

#include "base/text.h"
#include "handshake.pb.h"
#include "muster/version.h"

namespace muster::replication {
namespace {

constexpr std::string_view kMagic("MUSTER\r\n", 8);  // "\r\n": what a text channel would change
constexpr std::size_t kPrefaceSize = 16;
constexpr std::size_t kHeaderSize = 3;
constexpr const char* kSoftware = "muster ";

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

std::string range_text(VersionRange range) {
  const std::string lowest = std::to_string(range.lowest);
  return range.lowest == range.highest ? lowest : lowest + " to " + std::to_string(range.highest);
}

Failure no_peer(const std::string& why) {
  return fail(ErrorCode::kInternal, "the peer does not speak Muster's replication: " + why);
}

// What a stranger wrote, in one line of a message.
std::string shown(std::string_view text, std::size_t most) {
  return without_controls(text.substr(0, most));
}

// They become names of directories, and words of messages.
bool is_name(std::string_view name, std::size_t most) {
  return !name.empty() && name.size() <= most && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' ||
                  c == '_' || c == '-';
         });
}

Result<LinkRole> role_of(protocol::HandshakeRole role) {
  switch (role) {
    case protocol::HANDSHAKE_ROLE_LIVE: return LinkRole::kLive;
    case protocol::HANDSHAKE_ROLE_BULK: return LinkRole::kBulk;
    case protocol::HANDSHAKE_ROLE_CONTROL: return LinkRole::kControl;
    default: return no_peer("it does not say what the connection is for");
  }
}

protocol::HandshakeRole role_of(LinkRole role) {
  switch (role) {
    case LinkRole::kLive: return protocol::HANDSHAKE_ROLE_LIVE;
    case LinkRole::kBulk: return protocol::HANDSHAKE_ROLE_BULK;
    case LinkRole::kControl: return protocol::HANDSHAKE_ROLE_CONTROL;
  }
  return protocol::HANDSHAKE_ROLE_NONE;
}

Result<PeerHello> peer_of(const protocol::HandshakeHello& hello) {
  if (!is_name(hello.run_id(), 100) || hello.run_id() == "latest")
    return no_peer("it names no run");
  if (!is_name(hello.writer(), 64)) return no_peer("it names no writer");
  if (hello.node().size() > 255) return no_peer("its node's name is too long");
  if (hello.lowest_rank() < 0) return no_peer("it has a negative rank");
  MUSTER_TRY_ASSIGN(const LinkRole role, role_of(hello.role()));
  PeerHello peer;
  peer.writer = {.run_id = hello.run_id(),
                 .name = hello.writer(),
                 .node = without_controls(hello.node()),
                 .lowest_rank = hello.lowest_rank(),
                 .epoch = hello.epoch()};
  peer.role = role;
  peer.software = shown(hello.software(), 64);
  return peer;
}

constexpr const char* kNoTokenHere =
    "give it the same token (--token-file), or start both with --insecure on a trusted network";

}  // namespace

void Handshake::say_preface() {
  const std::string preface = std::string(kMagic) + little_endian(settings_.versions.lowest, 2) +
                              little_endian(settings_.versions.highest, 2) +
                              little_endian(settings_.capabilities, 4);
  said_ += preface;
  output_ += preface;
}

void Handshake::say(Message type, const std::string& payload) {
  const std::string message = little_endian(payload.size(), 2) + static_cast<char>(type) + payload;
  said_ += message;
  output_ += message;
}

std::string Handshake::take_output() {
  return std::exchange(output_, {});
}

std::string Handshake::take_rest() {
  return std::exchange(input_, {});
}

std::string Handshake::transcript(bool we_are_client) const {
  const std::string& client = we_are_client ? said_ : heard_;
  const std::string& server = we_are_client ? heard_ : said_;
  return little_endian(client.size(), 4) + client + server;
}

std::string Handshake::proof(const Key& key, std::string_view purpose,
                             std::string_view over) const {
  std::string text = little_endian(purpose.size(), 4);
  text += purpose;
  text += little_endian(settings_.exporter.size(), 4);
  text += settings_.exporter;
  text += over;
  return hmac_sha256(key.bytes(), text);
}

Result<> Handshake::agree_on_version(const std::string& peer) {
  const VersionRange ours = settings_.versions;
  version_ = std::min(ours.highest, peer_versions_.highest);
  if (version_ >= ours.lowest && version_ >= peer_versions_.lowest) return {};
  return fail(ErrorCode::kUsage,
              "this muster speaks version " + range_text(ours) + " of replication, the " + peer +
                  " version " + range_text(peer_versions_),
              "run the same muster on both sides, or one that speaks a version of the other");
}

// False: more bytes are needed.
Result<bool> Handshake::take_one() {
  if (!has_preface_) {
    const std::size_t known = std::min(input_.size(), kMagic.size());
    if (std::string_view(input_).substr(0, known) != kMagic.substr(0, known)) {
      return no_peer("it begins with other bytes");
    }
    if (input_.size() < kPrefaceSize) return false;
    peer_versions_ = {static_cast<std::uint16_t>(number_at(input_, 8, 2)),
                      static_cast<std::uint16_t>(number_at(input_, 10, 2))};
    capabilities_ = settings_.capabilities & static_cast<std::uint32_t>(number_at(input_, 12, 4));
    heard_ += input_.substr(0, kPrefaceSize);
    input_.erase(0, kPrefaceSize);
    has_preface_ = true;
    MUSTER_TRY(on_preface());
    return true;
  }
  if (input_.size() < kHeaderSize) return false;
  const std::size_t size = kHeaderSize + number_at(input_, 0, 2);
  if (heard_.size() + size > kMostBytes) return no_peer("it says too much before it is known");
  if (input_.size() < size) return false;
  const auto type = static_cast<Message>(input_[2]);
  const std::string payload = input_.substr(kHeaderSize, size - kHeaderSize);
  const std::string message = input_.substr(0, size);
  input_.erase(0, size);
  // A proof is about what was said before it.
  if (type != Message::kClientProof && type != Message::kServerProof) heard_ += message;
  MUSTER_TRY(on_message(type, payload));
  return true;
}

Result<> Handshake::receive(std::string_view bytes) {
  if (!done_ && input_.size() + heard_.size() + bytes.size() > 2 * kMostBytes) {
    return no_peer("it says too much before it is known");
  }
  input_ += bytes;
  while (!done_) {
    MUSTER_TRY_ASSIGN(const bool more, take_one());
    if (!more) break;
  }
  if (!done_ && input_.size() + heard_.size() > kMostBytes) {
    return no_peer("it says too much before it is known");
  }
  return {};
}

ClientHandshake::ClientHandshake(HandshakeSettings settings, const PeerHello& self)
    : Handshake(std::move(settings)) {
  say_preface();
  protocol::HandshakeHello hello;
  hello.set_run_id(self.writer.run_id);
  hello.set_writer(self.writer.name);
  hello.set_node(self.writer.node.substr(0, 255));
  hello.set_lowest_rank(self.writer.lowest_rank);
  hello.set_epoch(self.writer.epoch);
  hello.set_role(role_of(self.role));
  hello.set_software(kSoftware + std::string(kVersion));
  hello.set_nonce(settings_.nonce);
  hello.set_has_token(settings_.keys != nullptr);
  if (settings_.keys != nullptr && !settings_.exporter.empty()) {
    hello.set_channel_proof(proof(settings_.keys->client, "first words", settings_.nonce));
  }
  say(Message::kHello, hello.SerializeAsString());
}

Result<> ClientHandshake::on_preface() {
  return agree_on_version(settings_.listener);
}

Result<> ClientHandshake::on_challenge(std::string_view payload) {
  protocol::HandshakeChallenge challenge;
  if (!challenge.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
      challenge.nonce().size() != kKeySize) {
    return no_peer("its challenge is none");
  }
  challenged_ = true;
  const bool wanted = settings_.must_authenticate || !settings_.exporter.empty();
  if (!challenge.authenticate() && wanted) {
    return fail(ErrorCode::kPermission,
                "the " + settings_.listener + " has no run token: it could be anybody",
                kNoTokenHere);
  }
  if (challenge.authenticate() && settings_.keys == nullptr) {
    return fail(ErrorCode::kPermission,
                "the " + settings_.listener + " asks for a run token, and there is none",
                "--token-file FILE names it");
  }
  if (!settings_.exporter.empty() &&
      !equal_in_constant_time(challenge.channel_proof(),
                              proof(settings_.keys->server, "first words", challenge.nonce()))) {
    return fail(ErrorCode::kPermission,
                "the " + settings_.listener + " does not prove that it has the run token",
                "both sides need the same --token-file");
  }
  authenticated_ = challenge.authenticate();
  agreed_ = transcript(true);
  protocol::HandshakeProof answer;
  if (authenticated_) answer.set_proof(proof(settings_.keys->client, "client", agreed_));
  say(Message::kClientProof, answer.SerializeAsString());
  return {};
}

Result<> ClientHandshake::on_message(Message type, std::string_view payload) {
  if (type == Message::kRefusal) {
    protocol::HandshakeRefusal refusal;
    if (!refusal.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
      return no_peer("its refusal is none");
    }
    return fail(refusal.permission() ? ErrorCode::kPermission : ErrorCode::kUsage,
                "the " + settings_.listener + " refuses: " + shown(refusal.text(), 512));
  }
  if (type == Message::kChallenge && !challenged_) return on_challenge(payload);
  if (type != Message::kServerProof || !challenged_) return no_peer("it speaks out of turn");
  protocol::HandshakeProof answer;
  if (!answer.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return no_peer("its proof is none");
  }
  if (authenticated_ &&
      !equal_in_constant_time(answer.proof(), proof(settings_.keys->server, "server", agreed_))) {
    return fail(ErrorCode::kPermission,
                "the " + settings_.listener + " does not prove that it has the run token",
                "both sides need the same --token-file");
  }
  done_ = true;
  return {};
}

ServerHandshake::ServerHandshake(HandshakeSettings settings) : Handshake(std::move(settings)) {}

Failure ServerHandshake::refuse(ErrorCode code, const std::string& why, const std::string& hint) {
  protocol::HandshakeRefusal refusal;
  refusal.set_text(hint.empty() ? why : why + "; " + hint);
  refusal.set_permission(code == ErrorCode::kPermission);
  say(Message::kRefusal, refusal.SerializeAsString());
  return fail(code, why, hint);
}

Result<> ServerHandshake::on_preface() {
  say_preface();  // also to one with other versions: it then says which those are
  return agree_on_version(settings_.takes_control ? "other launcher" : "sender");
}

Result<> ServerHandshake::on_hello(std::string_view payload) {
  protocol::HandshakeHello hello;
  if (!hello.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
      hello.nonce().size() != kKeySize) {
    return no_peer("its hello is none");
  }
  MUSTER_TRY_ASSIGN(peer_, peer_of(hello));
  if (peer_->role == LinkRole::kControl && !settings_.takes_control) {
    return refuse(ErrorCode::kUsage, "this is a collector, and no head of a run",
                  "--rendezvous names the head, which is node rank 0's launcher");
  }
  authenticated_ = settings_.keys != nullptr && hello.has_token();
  const bool wanted = settings_.must_authenticate || !settings_.exporter.empty();
  if (!authenticated_ && wanted) {
    return refuse(
        ErrorCode::kPermission,
        "this " + settings_.listener +
            (settings_.keys == nullptr ? " has no run token" : " takes only who has its run token"),
        kNoTokenHere);
  }
  if (!settings_.exporter.empty() &&
      !equal_in_constant_time(hello.channel_proof(),
                              proof(settings_.keys->client, "first words", hello.nonce()))) {
    return refuse(ErrorCode::kPermission, "the run token is another one", "");
  }
  protocol::HandshakeChallenge challenge;
  challenge.set_nonce(settings_.nonce);
  challenge.set_authenticate(authenticated_);
  challenge.set_software(kSoftware + std::string(kVersion));
  if (!settings_.exporter.empty()) {
    challenge.set_channel_proof(proof(settings_.keys->server, "first words", settings_.nonce));
  }
  say(Message::kChallenge, challenge.SerializeAsString());
  return {};
}

Result<> ServerHandshake::on_message(Message type, std::string_view payload) {
  if (type == Message::kHello && !peer_) return on_hello(payload);
  if (type != Message::kClientProof || !peer_) return no_peer("it speaks out of turn");
  protocol::HandshakeProof given;
  if (!given.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return no_peer("its proof is none");
  }
  if (authenticated_ &&
      !equal_in_constant_time(given.proof(),
                              proof(settings_.keys->client, "client", transcript(false)))) {
    return refuse(ErrorCode::kPermission, "the run token is another one", "");
  }
  protocol::HandshakeProof answer;
  if (authenticated_) {
    answer.set_proof(proof(settings_.keys->server, "server", transcript(false)));
  }
  say(Message::kServerProof, answer.SerializeAsString());
  done_ = true;
  return {};
}

}  // namespace muster::replication
