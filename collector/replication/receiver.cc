#include "collector/replication/receiver.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "collector/replication/liveness.h"
#include "collector/replication/planted_bugs.h"
#include "collector/replication/wire.h"
#include "protocol/frame.h"

namespace muster::replication {
namespace {

using protocol::FrameType;
using protocol::FrameView;
using std::chrono::milliseconds;

constexpr std::uint64_t kLeastCredit = 32U << 10;
constexpr std::uint64_t kMostCredit = 4U << 20;
constexpr milliseconds kAckInterval{50};
constexpr std::uint64_t kAckBytes = 1U << 20;
// After an end somebody waits for "complete"; several ends share one sync.
constexpr milliseconds kSyncAfterEnd{20};
constexpr milliseconds kTryAgain{1'000};
constexpr milliseconds kClockInterval{30'000};
// A peer that asks and does not read its answers must not fill our memory.
constexpr std::size_t kMostOutput = 4U << 20;

using StreamId = std::pair<LinkNumber, StreamNumber>;

enum class Stall : std::uint8_t { kNone, kFull, kFailed };

struct Stream {
  StreamDescription description;
  std::string key;
  Handle handle = 0;
  bool is_open = false;  // `handle` is one
  bool told = false;     // the sender knows where the stream is
  bool finished = false;
  bool rewound = false;  // was told to go back: what is beyond next comes from before that
  bool ack_listed = false;
  Stall stall = Stall::kNone;
  std::uint64_t next = 0;
  std::uint64_t durable = 0;
};

struct Link {
  store::Writer writer;
  LinkRole role = LinkRole::kLive;
  protocol::FrameReader reader{wire::kMaxFrame};
  std::string output;
  bool over = false;
  bool attached = false;  // the store knows that it is here
  std::unordered_map<StreamNumber, Stream> streams;
  std::vector<StreamNumber> to_ack;
  std::vector<wire::Mark> ended;  // acknowledged a last time; not among the streams any more
  std::optional<Time> ack_at;
  std::uint64_t unacked = 0;
  std::uint64_t outstanding = 0;  // credit that the sender has
  Liveness liveness{Time{}};
  Time ask_clock_at{};
  std::optional<ClockOffset> clock;
  // Streams that were refused while they were open: closed, and told why when they come again.
  std::unordered_map<StreamNumber, std::string> refusals;
};

std::string run_and_name(const store::Writer& writer) {
  return writer.run_id + '\0' + writer.name;
}

}  // namespace

struct Receiver::State {
  ReplicaStore& store;
  ReceiverLimits limits;
  WallClock clock;

  std::map<LinkNumber, Link> links;
  LinkNumber last_link = 0;
  std::unordered_map<std::string, StreamId> owners;  // by key: where a stream is open
  std::unordered_map<Handle, StreamId> handles;
  std::set<StreamId> stalled;
  std::optional<Time> retry_at;

  bool syncing = false;
  std::optional<Time> sync_at;
  std::uint64_t unsynced = 0;
  std::vector<StreamId> deleted;          // tombstones that no sync has covered
  std::vector<StreamId> deleted_syncing;  // that the running one covers

  Time now{};
  std::vector<std::pair<LinkNumber, std::string>> closed;
  ReceiverTotals totals;

  // ---- links ----

  std::uint64_t window() const {
    const std::uint64_t open = std::max<std::uint64_t>(1, links.size());
    return std::clamp(limits.memory / open, kLeastCredit, kMostCredit);
  }

  void bye(LinkNumber number, wire::ByeCode code, std::string text, milliseconds retry_after = {}) {
    Link& link = links.at(number);
    if (link.over) return;
    wire::add(link.output, wire::Bye{code, text, static_cast<std::uint64_t>(retry_after.count())});
    link.over = true;
    release(number);
    closed.emplace_back(number, std::move(text));
  }

  // Nothing more comes on it.
  void release(LinkNumber number) {
    Link& link = links.at(number);
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
  void admit(LinkNumber number) {
    Link& link = links.at(number);
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

  void ask_clock(Link& link) {
    link.ask_clock_at = now + kClockInterval;
    wire::add_ping(link.output, clock());
  }

  // ---- streams ----

  void close(Stream& stream) {
    if (!stream.is_open) return;
    handles.erase(stream.handle);
    store.close(stream.handle);
    stream.is_open = false;
  }

  void erase(LinkNumber number, StreamNumber stream_number) {
    Link& link = links.at(number);
    const auto it = link.streams.find(stream_number);
    if (it == link.streams.end()) return;
    close(it->second);
    owners.erase(it->second.key);
    stalled.erase({number, stream_number});
    link.streams.erase(it);
  }

  Stream* find(const StreamId& id) {
    const auto link = links.find(id.first);
    if (link == links.end()) return nullptr;
    const auto stream = link->second.streams.find(id.second);
    return stream == link->second.streams.end() ? nullptr : &stream->second;
  }

  void stall(const StreamId& id, Stream& stream, std::string why) {
    stream.stall = store.is_full() ? Stall::kFull : Stall::kFailed;
    stream.rewound = true;
    stalled.insert(id);
    if (!retry_at) retry_at = now + kTryAgain;
    if (!stream.told) return;
    const auto reason =
        stream.stall == Stall::kFull ? wire::RewindReason::kFull : wire::RewindReason::kFailed;
    rewind(id, stream, reason, true, std::move(why));
  }

  void rewind(const StreamId& id, Stream& stream, wire::RewindReason reason, bool wait,
              std::string text) {
    stream.rewound = true;
    ++totals.rewinds;
    wire::add(links.at(id.first).output, id.second,
              wire::Rewind{stream.next, reason, wait, std::move(text)});
  }

  // Asks the store where the stream is, and tells the sender.  What the stream was before is
  // closed.
  void open(const StreamId& id, wire::RewindReason reason, std::string text) {
    Link& link = links.at(id.first);
    Stream& stream = link.streams.at(id.second);
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
    stream.stall = Stall::kNone;
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
  void refuse(const StreamId& id, Stream& stream, std::string why) {
    Link& link = links.at(id.first);
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

  static void say_refused(Link& link, StreamNumber number, std::string why) {
    wire::Opened message;
    message.refused = why.empty() ? "it is not taken" : std::move(why);
    wire::add(link.output, number, message);
  }

  void failed(const StreamId& id, Stream& stream, const Error& error) {
    if (error.code == ErrorCode::kPermission) return refuse(id, stream, error.message);
    stall(id, stream, error.message);
  }

  // ---- acknowledgements ----

  static void ack_by(Link& link, Time time) {
    if (!link.ack_at || time < *link.ack_at) link.ack_at = time;
  }

  void list_ack(Link& link, StreamNumber number, Stream& stream) {
    if (stream.ack_listed) return;
    stream.ack_listed = true;
    link.to_ack.push_back(number);
  }

  void stored(Link& link, StreamNumber number, Stream& stream, std::uint64_t count,
              std::uint64_t bytes) {
    stream.next += count;
    stream.rewound = false;
    totals.bytes += count;
    list_ack(link, number, stream);
    link.unacked += bytes;
    ack_by(link, link.unacked >= kAckBytes ? now : now + kAckInterval);
    unsynced += bytes;
    sync_by(unsynced >= limits.sync_bytes ? now : now + limits.sync_interval);
  }

  void acknowledge(Link& link) {
    std::vector<wire::Mark> marks;
    marks.reserve(link.to_ack.size() + link.ended.size());
    for (const StreamNumber number : link.to_ack) {
      const auto it = link.streams.find(number);
      if (it == link.streams.end()) continue;
      Stream& stream = it->second;
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

  // ---- durability ----

  void sync_by(Time time) {
    if (!sync_at || time < *sync_at) sync_at = time;
  }

  void start_sync(const std::shared_ptr<State>& self) {
    syncing = true;
    sync_at.reset();
    unsynced = 0;
    deleted_syncing = std::exchange(deleted, {});
    ++totals.syncs;
    store.sync([weak = std::weak_ptr(self)](Result<std::vector<DurableMark>> marks) {
      if (const auto state = weak.lock()) state->synced(std::move(marks));
    });
  }

  void synced(Result<std::vector<DurableMark>> marks) {
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

  void durable(const DurableMark& mark) {
    const auto it = handles.find(mark.handle);
    if (it == handles.end()) return;
    const StreamId id = it->second;
    Link& link = links.at(id.first);
    Stream& stream = link.streams.at(id.second);
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

  // ---- input ----

  Result<> take(LinkNumber number, const FrameView& frame) {
    Link& link = links.at(number);
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

  Result<> take_open(LinkNumber number, Link& link, const FrameView& frame) {
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
    Stream stream;
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
      Link& other = links.at(before.first);
      if (!other.over) wire::add_close(other.output, before.second);
      erase(before.first, before.second);
    }
    owners.emplace(stream.key, id);
    link.streams.emplace(frame.stream, std::move(stream));
    open(id, wire::RewindReason::kFailed, {});
    return {};
  }

  // nullptr: it is not open here any more; what still comes of it is not wanted.
  Stream* taking(Link& link, StreamNumber number) {
    const auto it = link.streams.find(number);
    if (it == link.streams.end() || it->second.stall != Stall::kNone) return nullptr;
    return &it->second;
  }

  Result<> take_data(LinkNumber number, Link& link, const FrameView& frame) {
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

    Stream* stream = taking(link, frame.stream);
    if (stream != nullptr) store_data(number, link, frame, *stream, zeros, count);
    give_credit(link);
    return {};
  }

  void store_data(LinkNumber number, Link& link, const FrameView& frame, Stream& stream, bool zeros,
                  std::uint64_t count) {
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
    const Result<> done = zeros
                              ? store.append_zeros(stream.handle, stream.next, fresh)
                              : store.append(stream.handle, stream.next,
                                             frame.payload.substr(static_cast<std::size_t>(here)));
    if (!done) return failed(id, stream, done.error());
    stored(link, frame.stream, stream, fresh, zeros ? frame.payload.size() : fresh);
  }

  void give_credit(Link& link) {
    const std::uint64_t wanted = window();
    if (link.outstanding + wanted / 4 > wanted) return;
    wire::add_credit(link.output, wanted - link.outstanding);
    link.outstanding = wanted;
  }

  Result<> take_gap(LinkNumber number, Link& link, const FrameView& frame) {
    MUSTER_TRY_ASSIGN(StreamGap gap, wire::read_gap(frame.payload));
    Stream* stream = taking(link, frame.stream);
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

  Result<> take_end(LinkNumber number, Link& link, const FrameView& frame) {
    MUSTER_TRY_ASSIGN(const StreamEnd end, wire::read_end(frame.payload));
    Stream* stream = taking(link, frame.stream);
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

  Result<> take_deleted(LinkNumber number, Link& link, const FrameView& frame) {
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

  Result<> take_pong(Link& link, const FrameView& frame) {
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

  // ---- time ----

  void retry() {
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
};

Receiver::Receiver(ReplicaStore& store, ReceiverLimits limits, WallClock clock)
    : state_(std::shared_ptr<State>(new State{store, limits, std::move(clock)})) {}
Receiver::~Receiver() = default;

LinkNumber Receiver::link_up(const store::Writer& writer, LinkRole role, Time now) {
  State& state = *state_;
  state.now = now;
  const LinkNumber number = ++state.last_link;
  Link& link = state.links[number];
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
  const Link link = std::move(it->second);
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
  Link& link = it->second;
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
  Link& link = it->second;
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
