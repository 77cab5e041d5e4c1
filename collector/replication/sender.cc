#include "collector/replication/sender_state.h"

#include <ctime>
#include <utility>

namespace muster::replication {
namespace {

using store::StreamKind;

constexpr std::chrono::milliseconds kUnchargedWait{100};

}  // namespace

std::int64_t system_wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

Sender::Sender(store::Writer writer, StreamSource& source, WallClock clock)
    : state_(new State{std::move(writer), source, std::move(clock)}) {}
Sender::~Sender() = default;

StreamNumber Sender::add(StreamDescription stream) {
  const StreamNumber number = state_->add(std::move(stream), false);
  state_->refuse_what_cannot_travel(number);
  state_->schedule(number);
  return number;
}

void Sender::grown(StreamNumber stream, std::uint64_t size) {
  SentStream& entry = state_->entries[stream];
  entry.out.grown(size);
  entry.unreadable = false;
  state_->account(entry);
  state_->schedule(stream);
}

void Sender::gap(StreamNumber stream, const StreamGap& gap) {
  SentStream& entry = state_->entries[stream];
  entry.out.add_gap(gap);
  entry.unreadable = false;
  state_->account(entry);
  state_->schedule(stream);
}

void Sender::freed(StreamNumber stream, std::uint64_t to) {
  state_->entries[stream].out.freed(to);
}

void Sender::ended(StreamNumber stream, const StreamEnd& end) {
  SentStream& entry = state_->entries[stream];
  if (entry.is_done()) return;
  if (!entry.out.end()) ++state_->open_ends;
  entry.out.ended(end);
  entry.unreadable = false;
  state_->account(entry);
  // Nobody has heard of it yet.
  if (!end.commit && !entry.was_opened) {
    state_->complete(stream);
    return;
  }
  state_->schedule(stream);
}

void Sender::deleted(const std::string& path) {
  StreamDescription stream;
  stream.path = path;
  stream.kind = StreamKind::kFile;
  const StreamNumber number = state_->add(std::move(stream), true);
  state_->refuse_what_cannot_travel(number);
  state_->schedule(number);
}

void Sender::hurry(bool wanted) {
  state_->hurry = wanted;
}

Watermarks Sender::watermarks(StreamNumber stream) const {
  const SentStream& entry = state_->entries[stream];
  return {entry.out.received(), entry.out.durable(), entry.unsent,
          entry.phase == SendPhase::kComplete};
}

bool Sender::all_complete() const {
  return state_->open_ends == 0;
}
std::uint64_t Sender::unsent_bytes() const {
  return state_->unsent;
}
std::size_t Sender::buffered_bytes() const {
  std::size_t bytes = 0;
  for (const SenderLink& link : state_->links) {
    bytes += link.control.size() + link.reader.buffered_bytes();
  }
  return bytes;
}
const store::Writer& Sender::writer() const {
  return state_->writer;
}
std::string Sender::held_up() const {
  return state_->blocked > 0 ? state_->blocked_why : "";
}
bool Sender::welcomed(LinkRole role) const {
  return state_->link(role).up && state_->link(role).welcomed;
}
bool Sender::superseded() const {
  return state_->superseded;
}
const SenderTotals& Sender::totals() const {
  return state_->totals;
}

void Sender::link_up(LinkRole role, Time now) {
  state_->now = now;
  state_->forget_link(role);
  if (state_->superseded) return;
  SenderLink& link = state_->link(role);
  link.up = true;
  link.liveness = Liveness(now);
}

void Sender::link_down(LinkRole role, Time now) {
  state_->now = now;
  state_->forget_link(role);
}

Result<> Sender::receive(LinkRole role, std::string_view bytes, Time now) {
  State& state = *state_;
  state.now = now;
  SenderLink& link = state.link(role);
  if (!link.up || link.over) return {};
  link.reader.append(bytes);
  const Result<> taken = state.take_all(role);
  if (!taken) link.over = true;
  link.liveness.heard_part(now, link.reader.buffered_bytes());
  return taken;
}

std::string Sender::take_output(LinkRole role, std::size_t most, Time now) {
  State& state = *state_;
  state.now = now;
  SenderLink& link = state.link(role);
  if (!link.up) return {};
  std::string out = std::move(link.control);
  link.control.clear();
  if (!link.welcomed || link.over || state.superseded) return out;
  state.refill(link);
  link.starved = false;
  while (out.size() < most) {
    // Opening costs little and its answer takes a round trip: one with each frame of bytes.
    const bool opened = state.open_one(role, out);
    const bool told = state.tell_one(role, out, most > out.size() ? most - out.size() : 1);
    if (!opened && !told) break;
    state.totals.frames_sent += std::uint64_t{opened} + std::uint64_t{told};
  }
  out += link.control;
  link.control.clear();
  return out;
}

std::optional<Time> Sender::deadline() const {
  const State& state = *state_;
  std::optional<Time> earliest;
  const auto consider = [&](Time time) {
    if (!earliest || time < *earliest) earliest = time;
  };
  for (const SenderLink& link : state.links) {
    if (!link.up || link.over) continue;
    consider(link.liveness.deadline());
    if (link.starved) consider(link.uncharged_at + kUnchargedWait);
  }
  if (!state.again.empty()) consider(state.again.begin()->first);
  return earliest;
}

void Sender::tick(Time now) {
  State& state = *state_;
  state.now = now;
  while (!state.again.empty() && state.again.begin()->first <= now) {
    const StreamNumber number = state.again.begin()->second;
    state.again.erase(state.again.begin());
    state.entries[number].unreadable = false;
    state.schedule(number);
  }
  for (const LinkRole role : {LinkRole::kLive, LinkRole::kBulk}) {
    SenderLink& link = state.link(role);
    if (!link.up || link.over) continue;
    switch (link.liveness.tick(now)) {
      case Liveness::Verdict::kQuiet: break;
      case Liveness::Verdict::kAsk: wire::add_ping(link.control, state.clock()); break;
      case Liveness::Verdict::kDead:
        state.close_link(role, "nothing was heard from the collector for 20 seconds", {});
        break;
    }
  }
}

std::vector<ClosedLink> Sender::take_closed() {
  return std::exchange(state_->closed, {});
}

std::vector<SenderEvent> Sender::take_events() {
  for (const SenderEvent& event : state_->events) {
    if (event.kind == SenderEvent::Kind::kProgress) {
      state_->entries[event.stream].event_listed = false;
    }
  }
  return std::exchange(state_->events, {});
}

}  // namespace muster::replication
