#include "collector/replication/receiver_state.h"

#include <algorithm>

#include "collector/replication/planted_bugs.h"

namespace muster::replication {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kLeastCredit = 32U << 10;
constexpr std::uint64_t kMostCredit = 4U << 20;
constexpr milliseconds kAckInterval{50};
constexpr std::uint64_t kAckBytes = 1U << 20;
constexpr milliseconds kClockInterval{30'000};

}  // namespace

std::uint64_t Receiver::State::window() const {
  const std::uint64_t open = std::max<std::uint64_t>(1, links.size());
  return std::clamp(limits.memory / open, kLeastCredit, kMostCredit);
}

void Receiver::State::bye(LinkNumber number, wire::ByeCode code, std::string text,
                          milliseconds retry_after) {
  ReceiverLink& link = links.at(number);
  if (link.over) return;
  wire::add(link.output, wire::Bye{code, text, static_cast<std::uint64_t>(retry_after.count())});
  link.over = true;
  release(number);
  closed.emplace_back(number, std::move(text));
}

// Nothing more comes on it.
void Receiver::State::release(LinkNumber number) {
  ReceiverLink& link = links.at(number);
  for (auto& [stream_number, stream] : link.streams) {
    close(stream);
    owners.erase(stream.key);
    stalled.erase({number, stream_number});
  }
  link.streams.clear();
  link.to_ack.clear();
  std::erase_if(deleted, [&](const StreamId& id) { return id.first == number; });
  std::erase_if(deleted_syncing, [&](const StreamId& id) { return id.first == number; });
}

// Links of the same writer: whom the new one replaces.
void Receiver::State::admit(LinkNumber number) {
  ReceiverLink& link = links.at(number);
  const Result<> admitted = store.admit(link.writer);
  if (!admitted && !is_planted(PlantedBug::kUnfenced)) {
    const bool for_good = admitted.error().code == ErrorCode::kPermission;
    bye(number, for_good ? wire::ByeCode::kSuperseded : wire::ByeCode::kFailed,
        admitted.error().message, for_good ? milliseconds{} : kTryAgain);
    return;
  }
  for (auto& [other_number, other] : links) {
    if (other_number == number || other.over) continue;
    if (other.writer.run_id != link.writer.run_id || other.writer.name != link.writer.name) {
      continue;
    }
    if (other.writer.epoch < link.writer.epoch) {
      if (is_planted(PlantedBug::kUnfenced)) continue;
      bye(other_number, wire::ByeCode::kSuperseded,
          "another start of " + link.writer.name + " writes this run now");
    } else if (other.role == link.role) {
      bye(other_number, wire::ByeCode::kReplaced, "another connection came in its place");
    }
  }
  if (link.role == LinkRole::kLive) {
    store.attach(link.writer);
    link.attached = true;
  }
  const std::uint64_t credit = window();
  link.outstanding = credit;
  wire::add(link.output, wire::Welcome{limits.streams, limits.payload, credit});
  ask_clock(link);
}

void Receiver::State::ask_clock(ReceiverLink& link) {
  link.ask_clock_at = now + kClockInterval;
  wire::add_ping(link.output, clock());
}

void Receiver::State::close(ReceivedStream& stream) {
  if (!stream.is_open) return;
  handles.erase(stream.handle);
  store.close(stream.handle);
  stream.is_open = false;
}

void Receiver::State::erase(LinkNumber number, StreamNumber stream_number) {
  ReceiverLink& link = links.at(number);
  const auto it = link.streams.find(stream_number);
  if (it == link.streams.end()) return;
  close(it->second);
  owners.erase(it->second.key);
  stalled.erase({number, stream_number});
  link.streams.erase(it);
}

ReceivedStream* Receiver::State::find(const StreamId& id) {
  const auto link = links.find(id.first);
  if (link == links.end()) return nullptr;
  const auto stream = link->second.streams.find(id.second);
  return stream == link->second.streams.end() ? nullptr : &stream->second;
}

void Receiver::State::stall(const StreamId& id, ReceivedStream& stream, std::string why) {
  const bool is_new = stream.stall == StreamStall::kNone;
  stream.stall = store.is_full() ? StreamStall::kFull : StreamStall::kFailed;
  stream.rewound = true;
  stalled.insert(id);
  if (!retry_at) retry_at = now + kTryAgain;
  // An Open has no answer yet: that, and why, is told once.
  if (!stream.told && !is_new) return;
  const auto reason =
      stream.stall == StreamStall::kFull ? wire::RewindReason::kFull : wire::RewindReason::kFailed;
  rewind(id, stream, reason, true, std::move(why));
}

void Receiver::State::rewind(const StreamId& id, ReceivedStream& stream, wire::RewindReason reason,
                             bool wait, std::string text) {
  stream.rewound = true;
  ++totals.rewinds;
  wire::add(links.at(id.first).output, id.second,
            wire::Rewind{stream.next, reason, wait, std::move(text)});
}

// Asks the store where the stream is, and tells the sender.  What the stream was before is
// closed.
void Receiver::State::open(const StreamId& id, wire::RewindReason reason, std::string text) {
  ReceiverLink& link = links.at(id.first);
  ReceivedStream& stream = link.streams.at(id.second);
  close(stream);
  Result<OpenedStream> opened = store.open(link.writer, stream.description);
  if (!opened) {
    if (opened.error().code == ErrorCode::kRunDirectory) {
      stall(id, stream, opened.error().message);
      return;
    }
    refuse(id, stream, std::move(opened).error().message);
    return;
  }
  if (is_planted(PlantedBug::kOffByOneOnResume) && opened->next > 0) --opened->next;
  stream.handle = opened->handle;
  stream.is_open = true;
  handles.emplace(stream.handle, id);
  stream.next = opened->next;
  stream.durable = std::min(opened->durable, opened->next);
  stream.finished = false;
  stream.stall = StreamStall::kNone;
  stalled.erase(id);
  if (opened->complete) {
    wire::Opened message{opened->next, opened->next, true};
    if (!stream.told) {
      wire::add(link.output, id.second, message);
    } else {
      link.ended.push_back({id.second, opened->next, opened->next, true});
      ack_by(link, now);
    }
    erase(id.first, id.second);
    return;
  }
  // What a crash or a link before this one left in the page cache.
  if (stream.durable < stream.next) sync_by(now + limits.sync_interval);
  if (stream.told) {
    rewind(id, stream, reason, false, std::move(text));
  } else {
    stream.told = true;
    wire::add(link.output, id.second, wire::Opened{stream.next, stream.durable});
  }
}

// The others of the link go on.
void Receiver::State::refuse(const StreamId& id, ReceivedStream& stream, std::string why) {
  ReceiverLink& link = links.at(id.first);
  if (stream.told) {
    // Only the answer to an Open can say it: the sender opens a stream again that is closed here.
    wire::add_close(link.output, id.second);
    if (link.refusals.size() >= limits.streams) link.refusals.erase(link.refusals.begin());
    link.refusals[id.second] = std::move(why);
  } else {
    say_refused(link, id.second, std::move(why));
  }
  erase(id.first, id.second);
}

void Receiver::State::say_refused(ReceiverLink& link, StreamNumber number, std::string why) {
  wire::Opened message;
  message.refused = why.empty() ? "it is not taken" : std::move(why);
  wire::add(link.output, number, message);
}

void Receiver::State::failed(const StreamId& id, ReceivedStream& stream, const Error& error) {
  if (error.code == ErrorCode::kPermission) return refuse(id, stream, error.message);
  stall(id, stream, error.message);
}

void Receiver::State::ack_by(ReceiverLink& link, Time time) {
  if (!link.ack_at || time < *link.ack_at) link.ack_at = time;
}

void Receiver::State::list_ack(ReceiverLink& link, StreamNumber number, ReceivedStream& stream) {
  if (stream.ack_listed) return;
  stream.ack_listed = true;
  link.to_ack.push_back(number);
}

void Receiver::State::stored(ReceiverLink& link, StreamNumber number, ReceivedStream& stream,
                             std::uint64_t count, std::uint64_t bytes) {
  stream.next += count;
  stream.rewound = false;
  totals.bytes += count;
  list_ack(link, number, stream);
  link.unacked += bytes;
  ack_by(link, link.unacked >= kAckBytes ? now : now + kAckInterval);
  unsynced += bytes;
  sync_by(unsynced >= limits.sync_bytes ? now : now + limits.sync_interval);
}

void Receiver::State::acknowledge(ReceiverLink& link) {
  std::vector<wire::Mark> marks;
  marks.reserve(link.to_ack.size() + link.ended.size());
  for (const StreamNumber number : link.to_ack) {
    const auto it = link.streams.find(number);
    if (it == link.streams.end()) continue;
    ReceivedStream& stream = it->second;
    stream.ack_listed = false;
    if (!stream.told) continue;
    const bool early = is_planted(PlantedBug::kAckBeforeDurable);
    marks.push_back({number, stream.next, early ? stream.next : stream.durable, false});
  }
  for (const wire::Mark& mark : link.ended) marks.push_back(mark);
  link.to_ack.clear();
  link.ended.clear();
  link.ack_at.reset();
  link.unacked = 0;
  if (!marks.empty()) wire::add(link.output, marks);
}

void Receiver::State::sync_by(Time time) {
  if (!sync_at || time < *sync_at) sync_at = time;
}

void Receiver::State::start_sync(const std::shared_ptr<State>& self) {
  syncing = true;
  sync_at.reset();
  unsynced = 0;
  deleted_syncing = std::exchange(deleted, {});
  ++totals.syncs;
  store.sync([weak = std::weak_ptr(self)](Result<std::vector<DurableMark>> marks) {
    if (const auto state = weak.lock()) state->synced(std::move(marks));
  });
}

void Receiver::State::synced(Result<std::vector<DurableMark>> marks) {
  syncing = false;
  const std::vector<StreamId> covered = std::exchange(deleted_syncing, {});
  if (!marks) {
    // What came since the last good one may be gone: each stream says where it is.
    deleted.insert(deleted.end(), covered.begin(), covered.end());
    if (!deleted.empty()) sync_by(now + kTryAgain);
    std::vector<StreamId> open_ones;
    for (const auto& [handle, id] : handles) open_ones.push_back(id);
    for (const StreamId& id : open_ones) {
      if (find(id) != nullptr && !links.at(id.first).over) {
        open(id, wire::RewindReason::kFailed, marks.error().message);
      }
    }
    return;
  }
  for (const DurableMark& mark : *marks) durable(mark);
  for (const StreamId& id : covered) {
    const auto link = links.find(id.first);
    if (link == links.end() || link->second.over) continue;
    wire::add(link->second.output, id.second, wire::Opened{0, 0, true});
  }
}

void Receiver::State::durable(const DurableMark& mark) {
  const auto it = handles.find(mark.handle);
  if (it == handles.end()) return;
  const StreamId id = it->second;
  ReceiverLink& link = links.at(id.first);
  ReceivedStream& stream = link.streams.at(id.second);
  if (!mark.refused.empty()) return refuse(id, stream, mark.refused);
  stream.durable = std::max(stream.durable, std::min(mark.offset, stream.next));
  ack_by(link, now);
  if (mark.complete && stream.finished) {
    link.ended.push_back({id.second, stream.next, stream.next, true});
    erase(id.first, id.second);
  } else {
    list_ack(link, id.second, stream);
  }
}

void Receiver::State::retry() {
  retry_at.reset();
  if (store.is_full()) {
    // Streams that failed for another reason wait with the others.
    if (!stalled.empty()) retry_at = now + kTryAgain;
    return;
  }
  const std::vector<StreamId> all(stalled.begin(), stalled.end());
  for (const StreamId& id : all) {
    if (find(id) != nullptr && !links.at(id.first).over) {
      open(id, wire::RewindReason::kFailed, {});
    }
  }
  if (!stalled.empty() && !retry_at) retry_at = now + kTryAgain;
}

}  // namespace muster::replication
