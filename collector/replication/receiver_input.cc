#include "collector/replication/receiver_state.h"

namespace muster::replication {

using protocol::FrameType;
using protocol::FrameView;
using std::chrono::milliseconds;

Result<> Receiver::State::take(LinkNumber number, const FrameView& frame) {
  ReceiverLink& link = links.at(number);
  switch (frame.type) {
    case FrameType::kOpen: return take_open(number, link, frame);
    case FrameType::kData: return take_data(number, link, frame);
    case FrameType::kGap: return take_gap(number, link, frame);
    case FrameType::kEnd: return take_end(number, link, frame);
    case FrameType::kClose: erase(number, frame.stream); return {};
    case FrameType::kDeleted: return take_deleted(number, link, frame);
    case FrameType::kPing: {
      MUSTER_TRY_ASSIGN(const std::int64_t sent, wire::read_ping(frame.payload));
      const std::int64_t wall = clock();
      wire::add(link.output, wire::Pong{sent, wall, wall});
      return {};
    }
    case FrameType::kPong: return take_pong(link, frame);
    case FrameType::kBye: {
      MUSTER_TRY_ASSIGN(wire::Bye message, wire::read_bye(frame.payload));
      link.over = true;
      release(number);
      closed.emplace_back(number, std::move(message.text));
      return {};
    }
    default:
      return wire::broken("frame type " + std::to_string(static_cast<int>(frame.type)) +
                          " to a receiver");
  }
}

Result<> Receiver::State::take_open(LinkNumber number, ReceiverLink& link, const FrameView& frame) {
  auto read = wire::read_open(frame.payload);
  if (!read && read.error().code != ErrorCode::kPermission) return Failure(read.error());
  // Our CLOSE and its own crossed: the later OPEN counts.
  erase(number, frame.stream);
  if (!read) {
    say_refused(link, frame.stream, read.error().message);
    return {};
  }
  if (auto refusal = link.refusals.extract(frame.stream)) {
    say_refused(link, frame.stream, std::move(refusal.mapped()));
    return {};
  }
  StreamDescription& description = *read;
  if (link.streams.size() >= limits.streams) {
    return wire::broken("more than " + std::to_string(limits.streams) + " streams are open");
  }
  ReceivedStream stream;
  stream.key = run_and_name(link.writer) + '\0' + description.path + '\0' +
               std::to_string(description.generation);
  stream.description = std::move(description);
  const StreamId id{number, frame.stream};
  // Mostly the link that had it is dead, whether its end has been noticed or not.  But what a
  // dead link still had on its way may come after its successor's OPEN: then it is opened there
  // again.
  const auto owner = owners.find(stream.key);
  if (owner != owners.end()) {
    const StreamId before = owner->second;
    ReceiverLink& other = links.at(before.first);
    if (!other.over) wire::add_close(other.output, before.second);
    erase(before.first, before.second);
  }
  owners.emplace(stream.key, id);
  link.streams.emplace(frame.stream, std::move(stream));
  open(id, wire::RewindReason::kFailed, {});
  return {};
}

// nullptr: it is not open here any more; what still comes of it is not wanted.
ReceivedStream* Receiver::State::taking(ReceiverLink& link, StreamNumber number) {
  const auto it = link.streams.find(number);
  if (it == link.streams.end() || it->second.stall != StreamStall::kNone) return nullptr;
  return &it->second;
}

Result<> Receiver::State::take_data(LinkNumber number, ReceiverLink& link, const FrameView& frame) {
  if (frame.payload.size() > limits.payload) {
    return wire::broken("a piece of " + std::to_string(frame.payload.size()) + " bytes");
  }
  const bool charged = (frame.flags & protocol::kUncharged) == 0;
  if (charged) {
    if (frame.payload.size() > link.outstanding) {
      return wire::broken("more bytes than it was allowed to send");
    }
    link.outstanding -= frame.payload.size();
  }
  const bool zeros = (frame.flags & protocol::kZeros) != 0;
  std::uint64_t count = frame.payload.size();
  if (zeros) {
    MUSTER_TRY_ASSIGN(count, wire::read_zeros(frame.payload));
  }
  if (frame.offset > (1ULL << 62)) return wire::broken("an impossible offset");

  ReceivedStream* stream = taking(link, frame.stream);
  if (stream != nullptr) store_data(number, link, frame, *stream, zeros, count);
  give_credit(link);
  return {};
}

void Receiver::State::store_data(LinkNumber number, ReceiverLink& link, const FrameView& frame,
                                 ReceivedStream& stream, bool zeros, std::uint64_t count) {
  const StreamId id{number, frame.stream};
  if (stream.finished) return;
  if (frame.offset > stream.next) {
    if (!stream.rewound) rewind(id, stream, wire::RewindReason::kOrder, false, {});
    return;
  }
  const std::uint64_t here = stream.next - frame.offset;
  if (here >= count) {
    totals.bytes_trimmed += count;
    return;
  }
  totals.bytes_trimmed += here;
  const std::uint64_t fresh = count - here;
  const Result<> done = zeros ? store.append_zeros(stream.handle, stream.next, fresh)
                              : store.append(stream.handle, stream.next,
                                             frame.payload.substr(static_cast<std::size_t>(here)));
  if (!done) return failed(id, stream, done.error());
  stored(link, frame.stream, stream, fresh, zeros ? frame.payload.size() : fresh);
  if ((frame.flags & protocol::kHurry) != 0) sync_by(now + kSyncInHurry);
}

void Receiver::State::give_credit(ReceiverLink& link) {
  const std::uint64_t wanted = window();
  if (link.outstanding + wanted / 4 > wanted) return;
  wire::add_credit(link.output, wanted - link.outstanding);
  link.outstanding = wanted;
}

Result<> Receiver::State::take_gap(LinkNumber number, ReceiverLink& link, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(StreamGap gap, wire::read_gap(frame.payload));
  ReceivedStream* stream = taking(link, frame.stream);
  if (stream == nullptr || stream->finished) return {};
  const StreamId id{number, frame.stream};
  if (gap.from > stream->next) {
    if (!stream->rewound) rewind(id, *stream, wire::RewindReason::kOrder, false, {});
    return {};
  }
  if (gap.to && *gap.to <= stream->next) return {};
  gap.from = stream->next;
  const Result<> done = store.add_gap(stream->handle, gap);
  if (!done) {
    failed(id, *stream, done.error());
    return {};
  }
  stored(link, frame.stream, *stream, gap.to ? *gap.to - gap.from : 0, 0);
  return {};
}

Result<> Receiver::State::take_end(LinkNumber number, ReceiverLink& link, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(const StreamEnd end, wire::read_end(frame.payload));
  ReceivedStream* stream = taking(link, frame.stream);
  if (stream == nullptr || stream->finished) return {};
  const StreamId id{number, frame.stream};
  if (end.commit && end.length > stream->next) {
    if (!stream->rewound) rewind(id, *stream, wire::RewindReason::kOrder, false, {});
    return {};
  }
  const Result<> done = end.commit && end.length < stream->next
                            ? fail(ErrorCode::kData, "it ends before what is here already")
                            : store.finish(stream->handle, end);
  if (!done && done.error().code == ErrorCode::kData) {
    open(id, wire::RewindReason::kDigest, done.error().message);
    return {};
  }
  if (!done) {
    failed(id, *stream, done.error());
    return {};
  }
  if (!end.commit) {
    // Nothing of it is kept, so nothing has to become durable.
    link.ended.push_back({frame.stream, stream->next, stream->durable, true});
    erase(number, frame.stream);
    ack_by(link, now);
    return {};
  }
  stream->finished = true;
  list_ack(link, frame.stream, *stream);
  ack_by(link, now);
  sync_by(now + kSyncAfterEnd);
  return {};
}

Result<> Receiver::State::take_deleted(LinkNumber number, ReceiverLink& link,
                                       const FrameView& frame) {
  const auto path = wire::read_deleted(frame.payload);
  if (!path && path.error().code != ErrorCode::kPermission) return Failure(path.error());
  if (deleted.size() + deleted_syncing.size() >= limits.streams * 4ULL) {
    return wire::broken("too many files are deleted at once");
  }
  const Result<> done =
      path ? store.tombstone(link.writer, *path) : Result<>(Failure(path.error()));
  if (!done && done.error().code == ErrorCode::kRunDirectory) {
    bye(number, wire::ByeCode::kFailed, done.error().message, kTryAgain);
    return {};
  }
  if (!done) {
    say_refused(link, frame.stream, done.error().message);
    return {};
  }
  deleted.emplace_back(number, frame.stream);
  sync_by(now + kSyncAfterEnd);
  return {};
}

Result<> Receiver::State::take_pong(ReceiverLink& link, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(const wire::Pong pong, wire::read_pong(frame.payload));
  const auto sample = clock_sample(pong.sent_ns, pong.received_ns, pong.answered_ns, clock());
  if (!sample || link.role != LinkRole::kLive) return {};
  // Bytes that wait in the sockets make a round trip long and the offset uncertain: only a sample
  // that is about as good as the best one counts, so that a drift is followed.
  if (link.clock && sample->round_trip_ns > 2 * link.clock->round_trip_ns + 100'000) return {};
  link.clock = ClockOffset{sample->offset_ns, sample->round_trip_ns};
  store.clock(link.writer, *link.clock);
  return {};
}

}  // namespace muster::replication
