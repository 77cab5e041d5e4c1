#include "collector/replication/client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/signals.h"
#include "base/unix_socket.h"
#include "collector/replication/connection.h"
#include "collector/replication/dialer.h"

namespace muster::replication {
namespace {

using Clock = EventLoop::Clock;

constexpr std::chrono::milliseconds kDialLimit{5000};
constexpr std::chrono::milliseconds kHandshakeLimit{10'000};
// A connection that held for so long was a good one: the next try is soon.
constexpr std::chrono::seconds kGood{3};

Backoff::Random a_random() {
  return [engine = std::mt19937_64(std::random_device()())](std::uint64_t below) mutable {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(engine);
  };
}

}  // namespace

struct SenderClient::Impl final : ConnectionOwner {
  struct Link {
    LinkRole role = LinkRole::kLive;
    std::unique_ptr<Dialer> dialer;
    std::unique_ptr<Connection> connection;
    Backoff backoff{a_random()};
    EventLoop::Watch retry;
    std::chrono::milliseconds not_before{0};  // the collector asked for it
    bool up = false;
    bool welcomed = false;  // the collector takes the run
    Time since;
  };

  ClientSettings settings;
  std::optional<TlsContext> tls;
  std::function<void(Sender&)> after_turn;
  EventLoop loop;
  Sender sender;
  std::vector<char> buffer = std::vector<char>(Connection::kMostBytesATurn);
  std::array<Link, 2> links;
  bool wants_bulk = false;
  bool ending = false;
  bool turn_is_due = false;
  EventLoop::Watch tick;
  std::optional<Time> tick_at;
  mutable std::mutex mutex;
  ClientState state;  // under the mutex
  std::thread thread;

  Impl(ClientSettings given, StreamSource& source, std::function<void(Sender&)> turn)
      : settings(std::move(given)), after_turn(std::move(turn)), sender(settings.writer, source) {
    links[1].role = LinkRole::kBulk;
    state.since = Clock::now();
  }

  Link& link_of(const Connection& connection) {
    return links[0].connection.get() == &connection ? links[0] : links[1];
  }

  void note(bool connected, std::optional<Error> trouble, bool answers = false) {
    const std::scoped_lock lock(mutex);
    if (connected != state.connected) state.since = Clock::now();
    state.connected = connected;
    state.answers = answers;
    state.refused =
        trouble && (trouble->code == ErrorCode::kPermission || trouble->code == ErrorCode::kUsage);
    state.trouble = std::move(trouble);
  }

  // --- connecting

  void dial(Link& link) {
    link.retry = {};
    if (ending || link.dialer || link.connection || sender.superseded()) return;
    if (link.role == LinkRole::kBulk && (!wants_bulk || !links[0].welcomed)) return;
    link.dialer = std::make_unique<Dialer>(loop, settings.collector, kDialLimit,
                                           [this, &link](Result<Fd> socket) {
                                             const auto done = std::move(link.dialer);
                                             if (socket) socket = is_trusted(std::move(*socket));
                                             if (!socket) return try_later(link, socket.error());
                                             open(link, std::move(*socket));
                                           });
  }

  // At a path where others may listen too, who listens is asked of the kernel.
  Result<Fd> is_trusted(Fd socket) const {
    if (settings.collector.transport != Transport::kUnix) return socket;
    MUSTER_TRY_ASSIGN(const PeerCredentials who, peer_credentials(socket));
    if (who.uid == ::geteuid()) return socket;
    return fail(ErrorCode::kPermission, "the collector at " + settings.collector.to_string() +
                                            " is another user's (" + std::to_string(who.uid) + ")");
  }

  void open(Link& link, Fd socket) {
    Connection::Setup setup;
    setup.side = TlsSide::kClient;
    setup.tls = tls ? &*tls : nullptr;
    setup.peer = settings.collector.to_string();
    setup.handshake_limit = kHandshakeLimit;
    setup.handshake = [this, &link](std::string exporter) {
      HandshakeSettings made;
      made.keys = settings.keys.get();
      made.must_authenticate =
          settings.collector.transport != Transport::kUnix && settings.keys != nullptr;
      made.exporter = std::move(exporter);
      made.nonce = random_bytes(kKeySize);
      return std::make_unique<ClientHandshake>(
          std::move(made), PeerHello{.writer = settings.writer, .role = link.role, .software = {}});
    };
    link.connection =
        std::make_unique<Connection>(loop, std::move(socket), std::move(setup), buffer, *this);
  }

  void try_later(Link& link, const Error& why, bool answers = false) {
    if (link.role == LinkRole::kLive) note(false, why, answers);
    const auto wait = std::max(link.backoff.next(), std::exchange(link.not_before, {}));
    link.retry = loop.at(Clock::now() + wait, [this, &link] { dial(link); });
    turn_soon();
  }

  void connected(Connection& connection) override {
    Link& link = link_of(connection);
    link.up = true;
    link.since = Clock::now();
    sender.link_up(link.role, link.since);
    turn_soon();
  }

  void closed(Connection& connection, const Error& why) override {
    Link& link = link_of(connection);
    Error reason = why;
    // It said no, or nothing: but it is there.
    const bool answers = !sender.welcomed(link.role);
    if (!link.up) explain_scheme(reason);
    if (std::exchange(link.up, false)) {
      sender.link_down(link.role, Clock::now());
      if (Clock::now() - link.since >= kGood) link.backoff.reset();
    }
    link.connection.reset();
    link.welcomed = false;
    if (!ending) try_later(link, reason, answers);
  }

  // --- what is said

  Result<> received(Connection& connection, std::string_view bytes) override {
    Link& link = link_of(connection);
    const auto result = sender.receive(link.role, bytes, Clock::now());
    if (sender.welcomed(link.role) && !std::exchange(link.welcomed, true)) {
      if (link.role == LinkRole::kLive) {
        note(true, std::nullopt);
        dial(links[1]);
      }
    }
    turn_soon();
    return result;
  }

  // A collector of the other scheme understands nothing, and says nothing.
  void explain_scheme(Error& why) const {
    const bool tls_here = settings.collector.transport == Transport::kTls;
    if (settings.collector.transport == Transport::kUnix || why.code != ErrorCode::kInternal) {
      return;
    }
    why.message += std::string("; a collector whose address begins with ") +
                   (tls_here ? "tcp:" : "tls:") + " does that";
  }

  std::string take_output(Connection& connection, std::size_t most) override {
    Link& link = link_of(connection);
    return link.up ? sender.take_output(link.role, most, Clock::now()) : std::string();
  }

  void turn_soon() {
    if (std::exchange(turn_is_due, true)) return;
    loop.post([this] {
      turn_is_due = false;
      turn();
    });
  }

  void turn() {
    after_turn(sender);
    ask_links();
  }

  void ask_links() {
    for (const ClosedLink& closed : sender.take_closed()) {
      Link& link = links[closed.role == LinkRole::kLive ? 0 : 1];
      link.not_before = closed.retry_after;
      if (link.connection) {
        link.connection->close(Error{ErrorCode::kInternal, closed.reason, "", std::nullopt});
      }
    }
    for (Link& link : links) {
      if (link.connection) link.connection->output_ready();
    }
    const auto deadline = sender.deadline();
    if (!deadline || (tick_at && *tick_at <= *deadline)) return;
    tick_at = deadline;
    tick = loop.at(*deadline, [this] {
      tick_at.reset();
      sender.tick(Clock::now());
      turn();
    });
  }

  void run() {
    loop.post([this] { dial(links[0]); });
    loop.run();
    for (Link& link : links) {
      link.dialer.reset();
      link.connection.reset();
    }
  }

  // What has been queued is given a moment to leave.
  void end() {
    ending = true;
    for (Link& link : links) {
      link.retry = {};
      link.dialer.reset();
      if (link.connection) {
        link.connection->close(Error{ErrorCode::kInternal, "this side ends", "", std::nullopt});
      }
    }
    end_when_closed(Clock::now() + std::chrono::milliseconds(300));
  }

  void end_when_closed(Time latest) {
    if ((!links[0].connection && !links[1].connection) || Clock::now() >= latest) {
      loop.stop();
      return;
    }
    tick = loop.at(Clock::now() + std::chrono::milliseconds(2),
                   [this, latest] { end_when_closed(latest); });
  }
};

std::string whereabouts(const ClientState& state) {
  if (state.connected) return "";
  return state.answers ? "which takes nothing now" : "which is not there";
}

SenderClient::SenderClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<> check_settings(const Address& collector, const std::shared_ptr<const TokenKeys>& keys,
                        bool insecure) {
  const std::string shown = collector.to_string();
  if (keys == nullptr && collector.transport == Transport::kTls) {
    return fail(ErrorCode::kUsage, "the collector " + shown + " takes a run token",
                "--token-file FILE names the one that the collector has");
  }
  if (keys == nullptr && collector.transport == Transport::kTcp && !insecure) {
    return fail(ErrorCode::kUsage, "without a run token nobody knows who listens on " + shown,
                "--token-file FILE, or --insecure where the network is trusted");
  }
  return {};
}

Result<std::unique_ptr<SenderClient>> SenderClient::start(ClientSettings settings,
                                                          StreamSource& source,
                                                          std::function<void(Sender&)> after_turn) {
  MUSTER_TRY(check_settings(settings.collector, settings.keys, settings.insecure));
  std::optional<TlsContext> tls;
  if (settings.collector.transport == Transport::kTls) {
    MUSTER_TRY_ASSIGN(tls, TlsContext::create(TlsSide::kClient, settings.keys->tls));
  }
  auto impl = std::make_unique<Impl>(std::move(settings), source, std::move(after_turn));
  impl->tls = std::move(tls);
  const AllSignalsBlocked no_signals;  // they are the main thread's
  impl->thread = std::thread([&run = *impl] { run.run(); });
  return std::unique_ptr<SenderClient>(new SenderClient(std::move(impl)));
}

SenderClient::~SenderClient() {
  impl_->loop.post([this] { impl_->end(); });
  impl_->thread.join();
}

void SenderClient::call(std::function<void(Sender&)> work) {
  impl_->loop.post([impl = impl_.get(), work = std::move(work)] {
    work(impl->sender);
    impl->turn_soon();
  });
}

void SenderClient::open_bulk() {
  impl_->loop.post([impl = impl_.get()] {
    impl->wants_bulk = true;
    impl->dial(impl->links[1]);
  });
}

ClientState SenderClient::state() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->state;
}

}  // namespace muster::replication
