#include "collector/replication/server.h"

#include <algorithm>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collector/replication/connection.h"
#include "collector/replication/dialer.h"
#include "collector/replication/listener.h"
#include "collector/replication/log_gate.h"

namespace muster::replication {
namespace {

using Clock = EventLoop::Clock;

constexpr int kAcceptsATurn = 64;
constexpr std::chrono::milliseconds kPauseWithoutDescriptors{200};
constexpr std::chrono::milliseconds kFarewell{2000};
// With many links, those that a byte may have concerned are asked at most so often.
constexpr std::size_t kFewLinks = 8;
constexpr std::chrono::milliseconds kRound{20};

Error plain_error(const std::string& text) {
  return Error{ErrorCode::kInternal, text, "", std::nullopt};
}

}  // namespace

struct CollectorServer::State final : ConnectionOwner {
  struct Peer {
    std::unique_ptr<Connection> connection;
    std::list<Connection*>::iterator stranger;  // while it is one
    bool is_stranger = true;
    bool shakes_tls = false;
    LinkNumber link = 0;              // when it is none any more: of the receiver,
    ControlRole::Number control = 0;  // or of whoever takes control
    std::string name;                 // of its writer, for messages
  };

  EventLoop& loop;
  ReplicaStore& store;
  ServerSettings settings;
  Listener listener;
  std::optional<TlsContext> tls;
  Receiver receiver;
  std::vector<char> buffer = std::vector<char>(Connection::kMostBytesATurn);
  std::unordered_map<Connection*, Peer> peers;
  std::unordered_map<LinkNumber, Connection*> links;
  std::unordered_map<ControlRole::Number, Connection*> controls;
  ControlRole::Number last_control = 0;
  std::list<Connection*> strangers;  // the oldest first
  LogGate log_gate;
  EventLoop::Watch accepting;
  EventLoop::Watch accept_pause;
  EventLoop::Watch tick;
  std::optional<Time> tick_at;
  EventLoop::Watch round;
  bool round_is_due = false;
  bool full = false;  // the store, by what was told
  std::function<void()> ended;
  EventLoop::Watch farewell;

  State(EventLoop& on, ReplicaStore& into, ServerSettings given, Listener opened)
      : loop(on),
        store(into),
        settings(std::move(given)),
        listener(std::move(opened)),
        receiver(into, settings.limits) {}

  void log(std::string line) {
    if (const auto written = log_gate.pass(std::move(line), Clock::now())) settings.log(*written);
  }

  // --- who connects

  void listen() {
    accepting = loop.on_readable(listener.fd(), [this] { accept_some(); });
  }

  void accept_some() {
    for (int i = 0; i < kAcceptsATurn; ++i) {
      auto stranger = listener.accept();
      if (!stranger) {
        log(stranger.error().message);
        if (stranger.error().code == ErrorCode::kPermission) continue;
        // No descriptors: whoever has said nothing for longest makes room, and the next try waits.
        if (!strangers.empty()) strangers.front()->drop(plain_error("there is no room for more"));
        accepting = {};
        accept_pause = loop.at(Clock::now() + kPauseWithoutDescriptors, [this] { listen(); });
        return;
      }
      if (!stranger->socket) return;
      add(std::move(*stranger));
    }
  }

  void add(Listener::Stranger stranger) {
    tune_socket(stranger.socket);
    Connection::Setup setup;
    setup.side = TlsSide::kServer;
    setup.tls = tls ? &*tls : nullptr;
    setup.peer = std::move(stranger.name);
    setup.handshake_limit = settings.handshake_limit;
    setup.handshake = [this](std::string exporter) { return make_handshake(std::move(exporter)); };
    auto connection = std::make_unique<Connection>(loop, std::move(stranger.socket),
                                                   std::move(setup), buffer, *this);
    Connection* const key = connection.get();
    Peer& peer = peers[key];
    peer.connection = std::move(connection);
    peer.stranger = strangers.insert(strangers.end(), key);
    if (strangers.size() > settings.strangers) {
      strangers.front()->drop(plain_error("too many connections that do not say who they are"));
      forget_stranger(peers.at(strangers.front()));
    }
  }

  std::unique_ptr<Handshake> make_handshake(std::string exporter) {
    HandshakeSettings made;
    made.keys = settings.keys.get();
    made.must_authenticate =
        listener.address().transport != Transport::kUnix && settings.keys != nullptr;
    made.exporter = std::move(exporter);
    made.nonce = random_bytes(kKeySize);
    made.takes_control = settings.control != nullptr;
    if (made.takes_control) made.listener = "head";
    return std::make_unique<ServerHandshake>(std::move(made));
  }

  void forget_stranger(Peer& peer) {
    if (peer.is_stranger) strangers.erase(peer.stranger);
    peer.is_stranger = false;
    peer.shakes_tls = false;
  }

  void starts_tls(Connection& connection) override {
    const auto shaking = [&](Connection* each) { return peers.at(each).shakes_tls; };
    if (static_cast<std::size_t>(std::count_if(strangers.begin(), strangers.end(), shaking)) >=
        settings.tls_handshakes) {
      const auto oldest = std::find_if(strangers.begin(), strangers.end(), shaking);
      Connection* const leaves = *oldest;
      leaves->drop(plain_error("too many TLS handshakes at a time"));
      forget_stranger(peers.at(leaves));
    }
    const auto found = peers.find(&connection);
    if (found != peers.end() && found->second.is_stranger) found->second.shakes_tls = true;
  }

  void connected(Connection& connection) override {
    Peer& peer = peers.at(&connection);
    forget_stranger(peer);
    const auto& handshake = static_cast<const ServerHandshake&>(*connection.handshake());
    const PeerHello& hello = *handshake.peer();
    if (hello.role == LinkRole::kControl) {
      peer.name = hello.writer.name;
      peer.control = ++last_control;
      controls[peer.control] = &connection;
      settings.control->connected(peer.control, hello, connection.peer());
      return;
    }
    peer.name = hello.writer.name + " of " + hello.writer.run_id;
    log(peer.name + " connects from " + connection.peer() +
        (hello.role == LinkRole::kBulk ? ", for files" : "") +
        (handshake.authenticated() ? "" : ", without a token"));
    peer.link = receiver.link_up(hello.writer, hello.role, Clock::now());
    links[peer.link] = &connection;
    settle();
  }

  // --- what they say

  Result<> received(Connection& connection, std::string_view bytes) override {
    const Peer& peer = peers.at(&connection);
    if (peer.control != 0) return settings.control->received(peer.control, bytes);
    const auto result = receiver.receive(peer.link, bytes, Clock::now());
    settle();
    ask_others(connection);
    return result;
  }

  std::string take_output(Connection& connection, std::size_t most) override {
    const auto peer = peers.find(&connection);
    if (peer == peers.end()) return {};
    if (peer->second.control != 0) return settings.control->take_output(peer->second.control, most);
    if (peer->second.link == 0) return {};
    return receiver.take_output(peer->second.link, most, Clock::now());
  }

  void closed(Connection& connection, const Error& why) override {
    const auto found = peers.find(&connection);
    if (found == peers.end()) return;
    Peer& peer = found->second;
    forget_stranger(peer);
    if (peer.link != 0) {
      log(peer.name + " leaves: " + why.message);
      links.erase(peer.link);
      receiver.link_down(peer.link, Clock::now());
    } else if (peer.control != 0) {
      controls.erase(peer.control);
      settings.control->closed(peer.control, why);
    } else {
      log(connection.peer() + " is refused: " + why.message);
      if (settings.control != nullptr) settings.control->refused(connection.peer(), why);
    }
    peers.erase(found);
    settle();
    if (ended && peers.empty()) finish();
  }

  // --- the receiver's wishes

  // Past the gate: strangers who are told of must not hide it.
  void tell_room() {
    const bool is_full = store.is_full();
    if (is_full == std::exchange(full, is_full)) return;
    settings.log(full ? "disk_full: there is no room in the store; nothing is taken until there is"
                      : "disk_has_room: there is room in the store again");
  }

  void settle() {
    tell_room();
    for (const auto& [link, reason] : receiver.take_closed()) {
      const auto found = links.find(link);
      if (found != links.end()) found->second->close(plain_error(reason));
    }
    const auto deadline = receiver.deadline();
    if (!deadline || (tick_at && *tick_at <= *deadline)) return;
    tick_at = deadline;
    tick = loop.at(*deadline, [this] {
      tick_at.reset();
      receiver.tick(Clock::now());
      ask_all();
    });
  }

  void ask_all() {
    settle();
    std::vector<Connection*> all;
    all.reserve(links.size());
    for (const auto& [link, connection] : links) all.push_back(connection);
    for (Connection* connection : all)
      connection->output_ready();  // none goes before the loop's turn
    settle();
  }

  // One that spoke is answered at once; another link of its writer may have something to say, too.
  void ask_others(const Connection& but) {
    if (links.size() > kFewLinks) {
      if (std::exchange(round_is_due, true)) return;
      round = loop.at(Clock::now() + kRound, [this] {
        round_is_due = false;
        ask_all();
      });
      return;
    }
    for (const auto& [link, connection] : links) {
      if (connection != &but) connection->output_ready();
    }
  }

  // --- control connections

  void control_output_ready(ControlRole::Number link) {
    const auto found = controls.find(link);
    if (found != controls.end()) found->second->output_ready();
  }

  void close_control(ControlRole::Number link, const std::string& why) {
    const auto found = controls.find(link);
    if (found != controls.end()) found->second->close(plain_error(why));
  }

  // --- the end

  void shut_down(std::function<void()> done) {
    accepting = {};
    accept_pause = {};
    receiver.shut_down("the collector ends", std::chrono::milliseconds(500));
    ask_all();
    ended = std::move(done);
    for (auto& [connection, peer] : peers) connection->close(plain_error("the collector ends"));
    farewell = loop.at(Clock::now() + (peers.empty() ? std::chrono::milliseconds(0) : kFarewell),
                       [this] { finish(); });
  }

  void finish() {
    farewell = {};
    if (const auto done = std::exchange(ended, {})) done();
  }
};

CollectorServer::CollectorServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
CollectorServer::~CollectorServer() = default;

Result<std::unique_ptr<CollectorServer>> CollectorServer::listen(EventLoop& loop,
                                                                 ReplicaStore& store,
                                                                 ServerSettings settings) {
  const Transport transport = settings.listen.transport;
  const std::string shown = settings.listen.to_string();
  if (settings.keys == nullptr && transport == Transport::kTls) {
    return fail(ErrorCode::kUsage, "listening on " + shown + " takes a run token",
                "--token-file FILE names it; `muster token --output FILE` makes one");
  }
  if (settings.keys == nullptr && transport == Transport::kTcp && !settings.insecure) {
    return fail(ErrorCode::kUsage, "listening on " + shown + " without a run token takes everybody",
                "--token-file FILE, or --insecure where everybody on the network may write");
  }
  std::optional<TlsContext> tls;
  if (transport == Transport::kTls) {
    MUSTER_TRY_ASSIGN(tls, TlsContext::create(TlsSide::kServer, settings.keys->tls));
  }
  MUSTER_TRY_ASSIGN(Listener listener, Listener::open(settings.listen));
  auto state = std::make_unique<State>(loop, store, std::move(settings), std::move(listener));
  state->tls = std::move(tls);
  state->listen();
  return std::unique_ptr<CollectorServer>(new CollectorServer(std::move(state)));
}

Address CollectorServer::address() const {
  return state_->listener.address();
}

void CollectorServer::store_changed() {
  state_->ask_all();
}

void CollectorServer::control_output_ready(ControlRole::Number link) {
  state_->control_output_ready(link);
}

void CollectorServer::close_control(ControlRole::Number link, const std::string& why) {
  state_->close_control(link, why);
}

void CollectorServer::shut_down(std::function<void()> done) {
  state_->shut_down(std::move(done));
}

std::size_t CollectorServer::connections() const {
  return state_->links.size();
}

const ReceiverTotals& CollectorServer::totals() const {
  return state_->receiver.totals();
}

}  // namespace muster::replication
