#include "launcher/link/head_link.h"

#include <algorithm>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/event_loop.h"
#include "base/signals.h"
#include "collector/replication/log_gate.h"
#include "collector/replication/run_replica.h"
#include "collector/replication/server.h"
#include "launcher/link/address_file.h"
#include "launcher/link/frame_queue.h"
#include "launcher/link/late_store.h"
#include "launcher/link/mailbox.h"
#include "launcher/link/probe_ring.h"
#include "launcher/link/probe_station.h"

namespace muster::link {

namespace fs = std::filesystem;
using cluster::HeadAction;
using cluster::HeadActions;
using cluster::LinkId;

namespace {

using Clock = EventLoop::Clock;

constexpr std::chrono::milliseconds kTick{250};
constexpr std::size_t kMostStrangers = 1024;  // beyond a collector's
constexpr std::size_t kMostHandshakes = 128;  // of TLS, at a time: some 50 KiB each

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char each : bytes) {
    const auto byte = static_cast<unsigned char>(each);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

// What is not guarded by the mutex belongs to the thread from start() on.
struct HeadLink::State final : replication::ControlRole {
  struct Link {
    protocol::FrameReader reader;
    FrameQueue queue;
    bool is_known = true;  // to the machine
    bool leaves = false;   // closes when its queue is empty
    std::string why;       // it does
  };

  HeadLinkSettings settings;
  EventLoop loop;
  LateStore store;
  std::shared_ptr<muster::store::OutputNames> names =
      std::make_shared<muster::store::OutputNames>();
  replication::RunReplica* replica = nullptr;  // in the store
  EventLoop::Watch synced;
  std::unique_ptr<replication::CollectorServer> server;
  replication::Address address;
  std::string nonce;
  bool wrote_file = false;
  std::map<LinkId, Link> links;
  replication::LogGate refusals;
  ProbeStation station;
  std::optional<ProbeRing> ring;
  EventLoop::Watch ring_limit;
  EventLoop::Watch ticking;
  std::optional<protocol::RunEnd> run_end;
  EventLoop::Watch patience;
  std::function<void()> all_left;

  Mailbox<HeadAction> mailbox;
  mutable std::mutex mutex;
  cluster::Head head;                                 // under the mutex
  std::set<int> whole;                                // under the mutex: nodes
  std::optional<std::vector<cluster::Proof>> proofs;  // under the mutex
  std::thread thread;

  explicit State(HeadLinkSettings given)
      : settings(std::move(given)),
        nonce(hex(replication::random_bytes(16))),
        station(loop, [this](const protocol::MemberMessage& said) { ring_says(0, said); }),
        head(settings.node_count, settings.own, settings.limits, Clock::now()) {}

  // --- the machine

  // Never from inside itself: what it wants done may ask it again.
  template <typename Ask>
  void ask(const Ask& question) {
    HeadActions actions;
    {
      const std::scoped_lock lock(mutex);
      actions = question(head);
    }
    for (HeadAction& action : actions) act(std::move(action));
  }

  void act(HeadAction action) {
    switch (action.what) {
      case HeadAction::What::kSend: return say(action.link, action.message);
      case HeadAction::What::kClose: return leave(action.link, action.text);
      case HeadAction::What::kMessage:
        if (takes_itself(action)) return;
        break;
      case HeadAction::What::kLost:
        if (ring && !ring->is_done()) {
          ring->give_up_node(action.node_rank, "the node is gone");
          look_at_ring();
        }
        break;
      case HeadAction::What::kRefused: return refused_somebody(std::move(action));
      default: break;
    }
    mailbox.put(std::move(action));
  }

  bool takes_itself(const HeadAction& action) {
    const protocol::MemberMessage& message = action.received;
    if (message.has_listening() || message.has_probed()) {
      ring_says(action.node_rank, message);
      return true;
    }
    if (!message.has_replicated()) return false;
    {
      const std::scoped_lock lock(mutex);
      whole.insert(action.node_rank);
    }
    mailbox.wake();
    return true;
  }

  // Of these there may be thousands in a second.
  void refused_somebody(HeadAction action) {
    auto line = refusals.pass(std::move(action.text), Clock::now());
    if (!line) return;
    settings.log(*line);
    action.text = std::move(*line);
    mailbox.put(std::move(action));
  }

  void tick() {
    ticking = loop.at(Clock::now() + kTick, [this] {
      // Twice around the loop: by then it has seen whatever came before now, and nobody is called
      // silent whose words lie here.
      loop.post([this] {
        loop.post([this] {
          ask([](cluster::Head& machine) {
            return machine.tick(Clock::now(), replication::system_wall_clock());
          });
          tick();
        });
      });
    });
  }

  // --- connections

  void say(LinkId link, const protocol::HeadMessage& message) {
    const auto found = links.find(link);
    if (found == links.end()) return;
    found->second.queue.push(protocol::FrameType::kHeadMessage, message);
    server->control_output_ready(link);
  }

  void leave(LinkId link, const std::string& why) {
    const auto found = links.find(link);
    if (found == links.end()) return;
    found->second.leaves = true;
    found->second.why = why;
    if (found->second.queue.is_empty()) server->close_control(link, why);
  }

  void turn_away(LinkId link, const std::string& why, int exit_code) {
    links.at(link).is_known = false;
    protocol::HeadMessage message;
    message.mutable_refused()->set_why(why);
    message.mutable_refused()->set_exit_code(exit_code);
    say(link, message);
    leave(link, why);
  }

  void connected(Number link, const replication::PeerHello& hello,
                 const std::string& peer) override {
    links.try_emplace(link);
    const std::string& shown = hello.writer.run_id;
    if (shown != shown_nonce("") && shown != shown_nonce(nonce)) {
      turn_away(link, "the address file that led here is of another start of a head", 0);
      return;
    }
    if (run_end) {
      links.at(link).is_known = false;
      protocol::HeadMessage message;
      *message.mutable_end() = *run_end;
      say(link, message);
      return leave(link, "the run is over");
    }
    ask([&](cluster::Head& machine) { return machine.connected(link, peer, Clock::now()); });
  }

  Result<> received(Number link, std::string_view bytes) override {
    const auto found = links.find(link);
    if (found == links.end() || !found->second.is_known) return {};
    protocol::FrameReader& reader = found->second.reader;
    reader.append(bytes);
    while (true) {
      MUSTER_TRY_ASSIGN(const auto frame, reader.next_view());
      if (!frame) return {};
      protocol::MemberMessage message;
      if (frame->type != protocol::FrameType::kMemberMessage ||
          !message.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size()))) {
        return fail(ErrorCode::kInternal, "it does not speak as a launcher of a run does");
      }
      ask([&](cluster::Head& machine) {
        return machine.received(link, message, Clock::now(), replication::system_wall_clock());
      });
      if (found->second.leaves) return {};  // what it says is nobody's business any more
    }
  }

  std::string take_output(Number link, std::size_t most) override {
    const auto found = links.find(link);
    if (found == links.end()) return {};
    std::string bytes = found->second.queue.take(most);
    if (found->second.leaves && found->second.queue.is_empty() && !bytes.empty()) {
      loop.post([this, link, why = found->second.why] { server->close_control(link, why); });
    }
    return bytes;
  }

  void closed(Number link, const Error& why) override {
    const auto found = links.find(link);
    if (found == links.end()) return;
    const bool is_known = found->second.is_known;
    links.erase(found);
    if (is_known) {
      ask([&](cluster::Head& machine) { return machine.closed(link, why.message, Clock::now()); });
    }
    if (run_end && links.empty() && all_left) std::exchange(all_left, {})();
  }

  // Noise is for the log alone; whoever has another token or version believes to be one of us.
  void refused(const std::string& peer, const Error& why) override {
    if (why.code != ErrorCode::kPermission && why.code != ErrorCode::kUsage) return;
    auto line = refusals.pass("refused somebody at " + peer + ": " + why.message, Clock::now());
    if (!line) return;
    HeadAction action;
    action.what = HeadAction::What::kRefused;
    action.text = std::move(*line);
    mailbox.put(std::move(action));
  }

  // --- the store

  void store_into(std::unique_ptr<replication::RunReplica> made) {
    replica = made.get();
    store.store_into(std::move(made));
    synced = loop.on_readable(replica->finished_fd(), [this] {
      replica->run_finished();
      server->store_changed();
    });
  }

  // --- the ring

  void prove(std::chrono::milliseconds limit) {
    std::vector<protocol::Join> joins;
    {
      const std::scoped_lock lock(mutex);
      proofs.reset();
      for (int rank = 0; rank < settings.node_count; ++rank) {
        const cluster::NodeSeen* node = head.node(rank);
        joins.push_back(node != nullptr ? node->join : protocol::Join());
      }
    }
    std::vector<const protocol::Join*> all;
    for (const protocol::Join& join : joins) all.push_back(&join);
    ring.emplace(all, limit.count(),
                 [] { return replication::random_bytes(ProbeStation::kNonceSize); });
    ring_limit = loop.at(Clock::now() + limit, [this, limit] {
      ring->give_up("no answer within " + std::to_string(limit.count()) + " ms");
      look_at_ring();
    });
    send_probes(ring->start());
    look_at_ring();
  }

  void ring_says(int from, const protocol::MemberMessage& message) {
    if (!ring || ring->is_done()) return;
    send_probes(ring->take(from, message));
    look_at_ring();
  }

  void send_probes(const ProbeRing::Messages& messages) {
    for (const auto& each : messages) {
      const int node = each.first;
      const protocol::HeadMessage& message = each.second;
      if (node != 0) {
        ask([&](cluster::Head& machine) { return machine.send(node, message); });
      } else if (message.has_listen()) {
        station.listen(message.listen());
      } else {
        station.dial(message.dial());
      }
    }
  }

  void look_at_ring() {
    if (!ring->is_done() || !ring_limit) return;
    ring_limit = {};
    {
      const std::scoped_lock lock(mutex);
      proofs = ring->proofs();
    }
    mailbox.wake();
  }

  // --- the end

  void end(const protocol::RunEnd& end, std::chrono::milliseconds within,
           std::function<void()> done) {
    run_end = end;
    all_left = std::move(done);
    ask([&](cluster::Head& machine) {
      machine.expect_leaving();
      protocol::HeadMessage message;
      *message.mutable_end() = end;
      return machine.send_to_all(message);
    });
    std::vector<LinkId> all;
    for (const auto& [link, each] : links) all.push_back(link);
    for (const LinkId link : all) leave(link, "the run is over");
    if (links.empty()) return std::exchange(all_left, {})();
    patience = loop.at(Clock::now() + within, [this] {
      if (all_left) std::exchange(all_left, {})();
    });
  }

  // --- the start

  Result<> listen() {
    replication::ServerSettings made;
    made.listen = settings.listen;
    made.keys = settings.keys;
    made.insecure = settings.insecure;
    made.log = settings.log;
    made.control = this;
    // All of a run's launchers may come in one moment, and are strangers until they have shaken
    // hands.
    const auto nodes = static_cast<std::size_t>(settings.node_count);
    made.strangers += std::min(nodes, kMostStrangers);
    made.tls_handshakes = std::clamp(nodes, made.tls_handshakes, kMostHandshakes);
    const bool everywhere = settings.listen.host == "*";
    if (everywhere) made.listen.host = "::";
    auto opened = replication::CollectorServer::listen(loop, store, made);
    if (!opened && everywhere) {  // a kernel without IPv6
      made.listen.host = "0.0.0.0";
      opened = replication::CollectorServer::listen(loop, store, made);
    }
    if (!opened) return Failure(std::move(opened).error());
    server = std::move(*opened);
    address = server->address();
    if (!settings.address_file) return {};
    MUSTER_TRY(
        write_head_place(*settings.address_file, place_of(settings.own, address.port, nonce)));
    wrote_file = true;
    return {};
  }

  void start() {
    const AllSignalsBlocked no_signals;  // they are the main thread's
    thread = std::thread([this] {
      tick();
      loop.run();
    });
  }

  void stop() {
    if (thread.joinable()) {
      loop.post([this] { loop.stop(); });
      thread.join();
    }
    if (wrote_file) remove_head_place(*settings.address_file, nonce);
  }

  ~State() override { stop(); }
};

HeadLink::HeadLink(std::unique_ptr<State> state) : state_(std::move(state)) {}
HeadLink::~HeadLink() = default;

Result<std::unique_ptr<HeadLink>> HeadLink::open(HeadLinkSettings settings) {
  auto state = std::make_unique<State>(std::move(settings));
  MUSTER_TRY(state->listen());
  state->start();
  return std::unique_ptr<HeadLink>(new HeadLink(std::move(state)));
}

replication::Address HeadLink::address() const {
  return state_->address;
}

Result<> HeadLink::store_into(const fs::path& run_directory, const std::string& run_id) {
  MUSTER_TRY_ASSIGN(auto replica,
                    replication::RunReplica::open_own({run_directory, run_id, state_->names}));
  // A post is copied; what it carries is not.
  auto carried = std::make_shared<std::unique_ptr<replication::RunReplica>>(std::move(replica));
  state_->loop.post([state = state_.get(), carried] { state->store_into(std::move(*carried)); });
  return {};
}

std::shared_ptr<store::OutputNames> HeadLink::output_names() const {
  return state_->names;
}

int HeadLink::fd() const {
  return state_->mailbox.fd();
}

std::optional<HeadAction> HeadLink::next() {
  return state_->mailbox.next();
}

void HeadLink::send(int node_rank, protocol::HeadMessage message) {
  state_->loop.post([state = state_.get(), node_rank, message = std::move(message)] {
    state->ask([&](cluster::Head& machine) { return machine.send(node_rank, message); });
  });
}

void HeadLink::send_to_all(protocol::HeadMessage message) {
  state_->loop.post([state = state_.get(), message = std::move(message)] {
    state->ask([&](cluster::Head& machine) { return machine.send_to_all(message); });
  });
}

std::vector<int> HeadLink::missing() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->head.missing();
}

std::optional<cluster::ClockEstimate> HeadLink::clock_of(int node_rank) const {
  const std::scoped_lock lock(state_->mutex);
  return state_->head.clock_of(node_rank, std::chrono::steady_clock::now());
}

std::vector<cluster::NodeSeen> HeadLink::nodes() const {
  const std::scoped_lock lock(state_->mutex);
  std::vector<cluster::NodeSeen> all;
  for (int rank = 0; rank < state_->settings.node_count; ++rank) {
    if (const cluster::NodeSeen* node = state_->head.node(rank)) all.push_back(*node);
  }
  return all;
}

bool HeadLink::replicated(int node_rank) const {
  const std::scoped_lock lock(state_->mutex);
  if (node_rank >= 0) return state_->whole.contains(node_rank);
  return state_->whole.size() + 1 >= static_cast<std::size_t>(state_->settings.node_count);
}

Result<> HeadLink::give_up(int node_rank) {
  std::promise<Result<>> done;
  state_->loop.post([&, state = state_.get()] {
    // What lies in the sockets is read first.
    state->loop.post([&, state] {
      if (state->replica == nullptr) return done.set_value({});
      done.set_value(state->replica->give_up("node-" + std::to_string(node_rank)));
    });
  });
  return done.get_future().get();
}

void HeadLink::prove_ring(std::chrono::milliseconds limit) {
  {
    const std::scoped_lock lock(state_->mutex);
    state_->proofs.reset();
  }
  state_->loop.post([state = state_.get(), limit] { state->prove(limit); });
}

std::optional<std::vector<cluster::Proof>> HeadLink::proofs() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->proofs;
}

void HeadLink::end(const protocol::RunEnd& end, std::chrono::milliseconds patience) {
  std::promise<void> gone;
  state_->loop.post(
      [&, state = state_.get()] { state->end(end, patience, [&] { gone.set_value(); }); });
  gone.get_future().wait();
}

}  // namespace muster::link
