#include "launcher/link/member_link.h"

#include <algorithm>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "base/event_loop.h"
#include "base/exit_code.h"
#include "base/signals.h"
#include "base/text.h"
#include "collector/replication/client.h"
#include "collector/replication/connection.h"
#include "collector/replication/dialer.h"
#include "launcher/link/address_file.h"
#include "launcher/link/frame_queue.h"
#include "launcher/link/mailbox.h"
#include "launcher/link/probe_station.h"
#include "launcher/link/resolver.h"
#include "launcher/link/socket_address.h"

namespace muster::link {

using replication::Address;
using replication::Backoff;
using replication::Connection;

namespace {

using Clock = EventLoop::Clock;

constexpr std::chrono::milliseconds kDialLimit{5'000};
constexpr std::chrono::milliseconds kDialLimitOfMany{1'500};  // of the addresses of an address file
constexpr std::chrono::milliseconds kHandshakeLimit{10'000};
constexpr std::chrono::milliseconds kSayFirst{1'000};
constexpr std::chrono::milliseconds kSayEvery{5'000};
constexpr std::chrono::milliseconds kTick{250};
constexpr std::chrono::seconds kSuspect{3};
// The last launcher that comes must not wait long for the first ones.
constexpr std::chrono::milliseconds kLongestWait{500};
// A file of an earlier head must not end a member whose own head has not written its file yet.
constexpr std::chrono::seconds kStale{5};

Backoff::Random a_random() {
  return [engine = std::mt19937_64(std::random_device()())](std::uint64_t below) mutable {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(engine);
  };
}

ErrorCode class_of(int exit_code) {
  for (const ErrorCode code :
       {ErrorCode::kUsage, ErrorCode::kConfig, ErrorCode::kResources, ErrorCode::kRunDirectory,
        ErrorCode::kData, ErrorCode::kTimeout, ErrorCode::kPermission, ErrorCode::kDelivery}) {
    if (to_int(exit_code_for(code)) == exit_code) return code;
  }
  return ErrorCode::kInternal;
}

Error plain_error(std::string text) {
  return Error{ErrorCode::kInternal, std::move(text), "", std::nullopt};
}

}  // namespace

// What is not guarded by the mutex belongs to the thread from start() on.
struct MemberLink::State final : replication::ConnectionOwner {
  MemberLinkSettings settings;
  std::optional<replication::TlsContext> tls;
  EventLoop loop;
  ProbeStation station;
  std::vector<char> buffer = std::vector<char>(Connection::kMostBytesATurn);

  // While it is not let in.
  std::vector<Address> targets;  // of this round
  std::size_t target = 0;
  std::string nonce;  // of the address file; ""
  std::string stale_nonce;
  std::optional<Error> stale_error;  // it was fatal, if the file stays as it is
  Clock::time_point stale_since;
  Backoff backoff{a_random()};
  Clock::time_point deadline;
  Error trouble;
  EventLoop::Watch retry;
  EventLoop::Watch saying;
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<replication::Dialer> dialer;

  std::unique_ptr<Connection> connection;
  std::string own_address;
  std::string head_address;
  bool is_up = false;
  bool has_part = false;
  bool is_over = false;  // nothing is said to the main thread any more
  bool is_ending = false;
  protocol::FrameReader reader;
  FrameQueue queue;
  EventLoop::Watch ticking;
  Clock::time_point ticked;
  std::chrono::nanoseconds silence{0};
  bool is_suspect = false;
  std::chrono::milliseconds silence_allowed = settings.silence_allowed;

  Mailbox<MemberEvent> mailbox;
  mutable std::mutex mutex;
  std::optional<Address> head;  // under the mutex
  std::thread thread;

  explicit State(MemberLinkSettings given)
      : settings(std::move(given)),
        station(loop, [this](const protocol::MemberMessage& said) { say(said); }) {}

  // --- finding the head

  std::string place() const {
    if (settings.membership.address_file) {
      return "the head that writes " + settings.membership.address_file->value;
    }
    return "the head at " +
           address_of(settings.membership.head_address.value, settings.membership.port.value)
               .to_string();
  }

  Address address_of(const std::string& host, int port) const {
    Address address;
    address.transport = settings.keys ? replication::Transport::kTls : replication::Transport::kTcp;
    address.host = host;
    address.port = static_cast<std::uint16_t>(port);
    return address;
  }

  Result<> find_targets() {
    target = 0;
    targets.clear();
    const auto& file = settings.membership.address_file;
    if (!file) {
      targets.push_back(
          address_of(settings.membership.head_address.value, settings.membership.port.value));
      return {};
    }
    MUSTER_TRY_ASSIGN(const HeadPlace found, read_head_place(file->value));
    const std::string& job = settings.membership.job_id.value;
    if (!job.empty() && !found.job_id.empty() && job != found.job_id) {
      return fail(ErrorCode::kInternal, file->value + " is of job " + found.job_id +
                                            ", and this is job " + without_controls(job));
    }
    if (found.nonce == stale_nonce) {
      if (stale_error && Clock::now() - stale_since >= kStale) {
        end_with(*stale_error);
        return {};
      }
      return fail(ErrorCode::kInternal, file->value + " is of an earlier head");
    }
    nonce = found.nonce;
    for (const std::string& host : found.hosts) targets.push_back(address_of(host, found.port));
    return {};
  }

  void try_round() {
    if (is_over || is_ending) return;
    if (Clock::now() >= deadline) {
      Error error = trouble;
      error.code = ErrorCode::kTimeout;
      error.message = place() + " has not let this node in within " +
                      std::to_string(settings.join_timeout.count() / 1000) + " s: " + error.message;
      return end_with(std::move(error));
    }
    if (auto found = find_targets(); !found) return try_later(std::move(found).error());
    if (!is_over) dial();
  }

  void dial() {
    resolver = std::make_unique<Resolver>(
        loop, targets[target].host, [this](Result<std::vector<std::string>> addresses) {
          const auto done = std::move(resolver);
          if (!addresses) return try_next(std::move(addresses).error());
          if (addresses->empty()) return try_next(plain_error("its name has no address"));
          // Each has a try of its own.
          const Address named = targets[target];
          targets.erase(targets.begin() + static_cast<std::ptrdiff_t>(target));
          auto place = targets.begin() + static_cast<std::ptrdiff_t>(target);
          for (const std::string& host : *addresses) {
            place = targets.insert(place, named) + 1;
            (place - 1)->host = host;
          }
          dial_address();
        });
  }

  void dial_address() {
    const auto limit = targets.size() > 1 ? kDialLimitOfMany : kDialLimit;
    dialer = std::make_unique<replication::Dialer>(loop, targets[target], limit,
                                                   [this](Result<Fd> socket) {
                                                     const auto done = std::move(dialer);
                                                     if (!socket)
                                                       return try_next(std::move(socket).error());
                                                     open(std::move(*socket));
                                                   });
  }

  // Another address of the head, or another round.
  void try_next(Error why) {
    trouble = std::move(why);
    if (++target < targets.size()) return dial();  // an address is looked up in no time
    try_later(trouble);
  }

  void try_later(Error why) {
    trouble = std::move(why);
    const auto wait = std::min<Clock::duration>(
        std::min(backoff.next(), kLongestWait),
        std::max<Clock::duration>(deadline - Clock::now(), Backoff::kLeast));
    retry = loop.at(Clock::now() + wait, [this] { try_round(); });
  }

  void tell_trouble(std::chrono::milliseconds in) {
    saying = loop.at(Clock::now() + in, [this] {
      if (!is_up && !is_over && !trouble.message.empty()) {
        put({.what = MemberEvent::What::kWaiting,
             .text = "waits for " + place() + ": " + trouble.message});
      }
      tell_trouble(kSayEvery);
    });
  }

  // --- the connection

  void open(Fd socket) {
    own_address = own_end(socket.get());
    head_address = other_end(socket.get());
    Connection::Setup setup;
    setup.side = replication::TlsSide::kClient;
    setup.tls = tls ? &*tls : nullptr;
    setup.peer = targets[target].to_string();
    setup.handshake_limit = kHandshakeLimit;
    setup.handshake = [this](std::string exporter) {
      replication::HandshakeSettings made;
      made.keys = settings.keys.get();
      made.must_authenticate = settings.keys != nullptr;
      made.exporter = std::move(exporter);
      made.nonce = replication::random_bytes(replication::kKeySize);
      made.listener = "head";
      replication::PeerHello self;
      self.writer.run_id = shown_nonce(nonce);
      self.writer.name = "node-" + std::to_string(settings.membership.node_rank.value);
      self.writer.node = settings.join.hostname();
      self.role = replication::LinkRole::kControl;
      return std::make_unique<replication::ClientHandshake>(std::move(made), self);
    };
    connection =
        std::make_unique<Connection>(loop, std::move(socket), std::move(setup), buffer, *this);
  }

  void connected(Connection& /*connection*/) override {
    is_up = true;
    {
      const std::scoped_lock lock(mutex);
      head = targets[target];
    }
    protocol::MemberMessage message;
    *message.mutable_join() = settings.join;
    message.mutable_join()->set_own_address(own_address);
    message.mutable_join()->set_head_address(head_address);
    say(message);
    silence = {};
    is_suspect = false;
    ticked = Clock::now();
    tick();
  }

  void say(const protocol::MemberMessage& message) {
    if (!is_up) return;
    queue.push(protocol::FrameType::kMemberMessage, message);
    connection->output_ready();
  }

  std::string take_output(Connection& /*connection*/, std::size_t most) override {
    return queue.take(most);
  }

  Result<> received(Connection& /*connection*/, std::string_view bytes) override {
    silence = {};
    if (std::exchange(is_suspect, false)) {
      put({.what = MemberEvent::What::kWaiting, .text = "the head speaks again"});
    }
    reader.append(bytes);
    while (!is_over) {
      MUSTER_TRY_ASSIGN(const auto frame, reader.next_view());
      if (!frame) return {};
      protocol::HeadMessage message;
      if (frame->type != protocol::FrameType::kHeadMessage ||
          !message.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size()))) {
        return fail(ErrorCode::kInternal, "it does not speak as the head of a run does");
      }
      take(message);
    }
    return {};
  }

  void take(const protocol::HeadMessage& message) {
    switch (message.message_case()) {
      case protocol::HeadMessage::kBeat: return answer(message.beat());
      case protocol::HeadMessage::kListen: return station.listen(message.listen());
      case protocol::HeadMessage::kDial: return station.dial(message.dial());
      case protocol::HeadMessage::kWaiting: {
        const protocol::Waiting& waiting = message.waiting();
        put({.what = MemberEvent::What::kWaiting,
             .text = "the run waits for " + without_controls(waiting.missing()) + " (" +
                     std::to_string(waiting.joined()) + " of " +
                     std::to_string(waiting.node_count()) + " nodes have joined)"});
        return;
      }
      case protocol::HeadMessage::kRefused: return refused(message.refused());
      case protocol::HeadMessage::kPart: has_part = true; break;
      default: break;
    }
    put({.what = MemberEvent::What::kMessage, .text = {}, .message = message, .error = {}});
    if (message.has_end()) is_over = true;
  }

  void answer(const protocol::Beat& beat) {
    const std::int64_t now = replication::system_wall_clock();
    if (beat.silence_allowed_ms() > 0) {
      silence_allowed = std::chrono::milliseconds(beat.silence_allowed_ms());
    }
    protocol::MemberMessage message;
    message.mutable_beat()->set_number(beat.number());
    message.mutable_beat()->set_head_sent(beat.sent());
    message.mutable_beat()->set_received(now);
    message.mutable_beat()->set_sent(replication::system_wall_clock());
    say(message);
  }

  void refused(const protocol::Refused& refused) {
    Error error;
    error.code = class_of(refused.exit_code());
    error.message = "the head refuses this node: " + without_controls(refused.why());
    error.hint = without_controls(refused.hint());
    if (refused.exit_code() != 0) return end_with(std::move(error));
    stale_nonce = nonce;
    stale_since = Clock::now();
    stale_error.reset();
    connection->close(plain_error(error.message));
  }

  void closed(Connection& /*connection*/, const Error& why) override {
    const bool was_up = std::exchange(is_up, false);
    ticking = {};
    connection.reset();
    reader = protocol::FrameReader();
    queue.clear();
    if (is_ending) return loop.stop();
    if (is_over) return;
    if (was_up && has_part) {
      Error error = plain_error("the head is gone: " + why.message);
      error.hint = "its own output says why; what ran here was ended";
      return end_with(std::move(error));
    }
    const bool for_good =
        !was_up && (why.code == ErrorCode::kPermission || why.code == ErrorCode::kUsage);
    if (!for_good) {
      Error error = why;
      if (!was_up && error.code == ErrorCode::kInternal) {
        error.message += settings.keys ? "; a head with --insecure does that"
                                       : "; a head with a run token does that";
      }
      return was_up ? try_later(std::move(error)) : try_next(std::move(error));
    }
    if (!settings.membership.address_file) return end_with(why);
    // The port may be somebody else's by now.
    stale_nonce = nonce;
    stale_since = Clock::now();
    stale_error = why;
    try_later(why);
  }

  // Silence counts only while this process runs.
  void tick() {
    ticking = loop.at(Clock::now() + kTick, [this] {
      loop.post([this] {
        loop.post([this] {
          if (!is_up) return;
          const auto now = Clock::now();
          silence += std::min<Clock::duration>(now - ticked, 2 * kTick);
          ticked = now;
          if (silence >= kSuspect && !std::exchange(is_suspect, true)) {
            put({.what = MemberEvent::What::kWaiting, .text = "the head has been silent for 3 s"});
          }
          if (silence >= silence_allowed) {
            return connection->drop(plain_error(
                "it has been silent for " + std::to_string(silence_allowed.count() / 1000) + " s"));
          }
          tick();
        });
      });
    });
  }

  // --- the end

  void put(MemberEvent event) {
    if (!is_over) mailbox.put(std::move(event));
  }

  void end_with(Error error) {
    put({.what = MemberEvent::What::kFailed, .text = {}, .message = {}, .error = std::move(error)});
    is_over = true;
    if (connection) connection->close(plain_error("this node does not go on"));
  }

  void end() {
    is_ending = true;
    retry = {};
    saying = {};
    resolver.reset();
    dialer.reset();
    if (!connection) return loop.stop();
    connection->close(plain_error("this launcher ends"));
    retry = loop.at(Clock::now() + std::chrono::milliseconds(300), [this] { loop.stop(); });
  }

  void start() {
    const AllSignalsBlocked no_signals;  // they are the main thread's
    thread = std::thread([this] {
      deadline = Clock::now() + settings.join_timeout;
      tell_trouble(kSayFirst);
      loop.post([this] { try_round(); });
      loop.run();
      resolver.reset();
      dialer.reset();
      connection.reset();
    });
  }
};

MemberLink::MemberLink(std::unique_ptr<State> state) : state_(std::move(state)) {}

MemberLink::~MemberLink() {
  state_->loop.post([state = state_.get()] { state->end(); });
  state_->thread.join();
}

Result<std::unique_ptr<MemberLink>> MemberLink::open(MemberLinkSettings settings) {
  if (settings.keys == nullptr && !settings.insecure) {
    return fail(ErrorCode::kUsage, "without a run token nobody knows who the head is",
                "--token-file FILE names the one that the head has, or --insecure where the "
                "network is trusted");
  }
  auto state = std::make_unique<State>(std::move(settings));
  if (state->settings.keys) {
    MUSTER_TRY_ASSIGN(state->tls, replication::TlsContext::create(replication::TlsSide::kClient,
                                                                  state->settings.keys->tls));
  }
  state->start();
  return std::unique_ptr<MemberLink>(new MemberLink(std::move(state)));
}

int MemberLink::fd() const {
  return state_->mailbox.fd();
}

std::optional<MemberEvent> MemberLink::next() {
  return state_->mailbox.next();
}

void MemberLink::send(protocol::MemberMessage message) {
  state_->loop.post([state = state_.get(), message = std::move(message)] { state->say(message); });
}

std::optional<Address> MemberLink::head() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->head;
}

}  // namespace muster::link
