#include "collector/replication/receiver_state.h"

namespace muster::replication {
namespace {

using protocol::FrameView;

// A peer that asks and does not read its answers must not fill our memory.
constexpr std::size_t kMostOutput = 4U << 20;

}  // namespace

Receiver::Receiver(ReplicaStore& store, ReceiverLimits limits, WallClock clock)
    : state_(std::shared_ptr<State>(new State{store, limits, std::move(clock)})) {}
Receiver::~Receiver() = default;

LinkNumber Receiver::link_up(const store::Writer& writer, LinkRole role, Time now) {
  State& state = *state_;
  state.now = now;
  const LinkNumber number = ++state.last_link;
  ReceiverLink& link = state.links[number];
  link.writer = writer;
  link.role = role;
  link.liveness = Liveness(now);
  state.admit(number);
  return number;
}

void Receiver::link_down(LinkNumber number, Time now) {
  State& state = *state_;
  state.now = now;
  const auto it = state.links.find(number);
  if (it == state.links.end()) return;
  state.release(number);
  const ReceiverLink link = std::move(it->second);
  state.links.erase(it);
  if (!link.attached) return;
  for (const auto& [other_number, other] : state.links) {
    if (other.attached && run_and_name(other.writer) == run_and_name(link.writer)) return;
  }
  state.store.detach(link.writer);
}

Result<> Receiver::receive(LinkNumber number, std::string_view bytes, Time now) {
  State& state = *state_;
  state.now = now;
  const auto it = state.links.find(number);
  if (it == state.links.end() || it->second.over) return {};
  ReceiverLink& link = it->second;
  link.reader.append(bytes);
  while (!link.over) {
    Result<std::optional<FrameView>> frame = link.reader.next_view();
    if (frame && !*frame) break;
    link.liveness.heard(now);
    Result<> taken = frame ? state.take(number, **frame) : Result<>(Failure(frame.error()));
    if (taken && link.output.size() > kMostOutput) {
      taken = wire::broken("it does not read what it is told");
    }
    if (!taken) {
      state.bye(number, wire::ByeCode::kProtocol, taken.error().message, kTryAgain);
      return taken;
    }
  }
  link.liveness.heard_part(now, link.reader.buffered_bytes());
  return {};
}

std::string Receiver::take_output(LinkNumber number, std::size_t most, Time now) {
  State& state = *state_;
  state.now = now;
  const auto it = state.links.find(number);
  if (it == state.links.end()) return {};
  ReceiverLink& link = it->second;
  if (!link.over && link.ack_at && *link.ack_at <= now) state.acknowledge(link);
  if (link.output.size() <= most) return std::exchange(link.output, {});
  std::string first = link.output.substr(0, most);
  link.output.erase(0, most);
  return first;
}

std::vector<std::pair<LinkNumber, std::string>> Receiver::take_closed() {
  return std::exchange(state_->closed, {});
}

std::optional<Time> Receiver::deadline() const {
  const State& state = *state_;
  std::optional<Time> earliest;
  const auto consider = [&](const std::optional<Time>& time) {
    if (time && (!earliest || *time < *earliest)) earliest = time;
  };
  for (const auto& [number, link] : state.links) {
    if (link.over) continue;
    consider(link.liveness.deadline());
    consider(link.ack_at);
    if (link.role == LinkRole::kLive) consider(link.ask_clock_at);
  }
  if (!state.syncing) consider(state.sync_at);
  consider(state.retry_at);
  return earliest;
}

void Receiver::tick(Time now) {
  State& state = *state_;
  state.now = now;
  for (auto& [number, link] : state.links) {
    if (link.over) continue;
    if (link.role == LinkRole::kLive && link.ask_clock_at <= now) state.ask_clock(link);
    switch (link.liveness.tick(now)) {
      case Liveness::Verdict::kQuiet: break;
      case Liveness::Verdict::kAsk: wire::add_ping(link.output, state.clock()); break;
      case Liveness::Verdict::kDead:
        state.bye(number, wire::ByeCode::kFailed, "nothing was heard for 20 seconds");
        break;
    }
  }
  if (state.retry_at && *state.retry_at <= now) state.retry();
  if (!state.syncing && state.sync_at && *state.sync_at <= now) state.start_sync(state_);
}

void Receiver::shut_down(std::string_view reason, std::chrono::milliseconds retry_after) {
  for (auto& [number, link] : state_->links) {
    state_->bye(number, wire::ByeCode::kClosed, std::string(reason), retry_after);
  }
}

std::size_t Receiver::buffered_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [number, link] : state_->links) {
    bytes += link.output.size() + link.reader.buffered_bytes();
  }
  return bytes;
}

const ReceiverTotals& Receiver::totals() const {
  return state_->totals;
}

}  // namespace muster::replication
