#include "collector/replication/sender.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <deque>
#include <set>
#include <unordered_map>
#include <utility>

#include "collector/replication/file_queue.h"
#include "collector/replication/liveness.h"
#include "collector/replication/outgoing_stream.h"
#include "collector/replication/send_queue.h"
#include "collector/replication/wire.h"
#include "protocol/frame.h"

namespace muster::replication {
namespace {

using protocol::FrameHeader;
using protocol::FrameType;
using protocol::FrameView;
using store::StreamKind;

// Large files that are on their way on one link at once, and small ones.
constexpr std::uint32_t kLargeFiles = 2;
constexpr std::uint32_t kSmallFiles = 64;
// The source had nothing where something should be: it is asked again.
constexpr std::chrono::milliseconds kReadAgain{1'000};
// What travels without credit, a kind and second.
constexpr std::uint64_t kUnchargedRate = 64U << 10;
constexpr std::chrono::milliseconds kUnchargedWait{100};
// The digest of a file was another there so often: it is not tried again.
constexpr int kDigestTries = 3;

enum class Phase : std::uint8_t { kWaiting, kOpening, kOpen, kComplete, kRefused };
enum class Weight : std::uint8_t { kNone, kSmall, kLarge };  // of a file on its way

struct Entry {
  explicit Entry(StreamDescription stream) : out(std::move(stream)) {}

  OutgoingStream out;
  Phase phase = Phase::kWaiting;
  Weight weight = Weight::kNone;
  LinkRole link = LinkRole::kLive;  // of kOpening and kOpen
  bool tombstone = false;
  bool queued = false;
  bool idle_listed = false;
  bool was_opened = false;  // on any link: the receiver may have something of it
  bool blocked = false;     // the receiver said to wait
  bool unreadable = false;
  bool event_listed = false;
  std::uint64_t unsent = 0;
  int digest_failures = 0;

  bool is_done() const { return phase == Phase::kComplete || phase == Phase::kRefused; }
};

struct Link {
  bool up = false;
  bool welcomed = false;
  bool over = false;  // nothing more is said on it
  protocol::FrameReader reader{wire::kMaxFrame};
  std::string control;  // small frames that go first
  SendQueue open;
  std::deque<StreamNumber> idle;   // open, and everything told is durable: may be closed
  std::set<StreamNumber> streams;  // opening or open
  std::uint32_t most_streams = 0;
  std::uint32_t most_payload = 0;
  std::uint64_t credit = 0;
  std::uint32_t large_files = 0;
  std::uint32_t small_files = 0;
  Liveness liveness{Time{}};
  std::array<std::uint64_t, 9> uncharged{};  // bytes that a kind may still send without credit
  Time uncharged_at{};
  bool starved = false;  // something waits for `uncharged`
};

bool is_urgent(StreamKind kind) {
  return kind == StreamKind::kControl || kind == StreamKind::kMetrics ||
         kind == StreamKind::kEvents || kind == StreamKind::kStderr;
}

std::size_t index_of(LinkRole role) {
  return role == LinkRole::kBulk ? 1 : 0;
}

}  // namespace

std::int64_t system_wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

struct Sender::State {
  store::Writer writer;
  StreamSource& source;
  WallClock clock;

  std::deque<Entry> entries;  // by number; references stay
  std::array<Link, 2> links;
  SendQueue waiting;  // to be opened, but for files
  FileQueue files;    // files to be opened
  // What was added of a path that is replaced as a whole, in order: only the first travels.
  std::unordered_map<std::string, std::deque<StreamNumber>> lanes;
  std::vector<StreamNumber> last_ones;  // wait for everything else
  std::uint64_t incomplete = 0;         // of everything else
  std::uint64_t open_ends = 0;          // ended, and neither complete nor refused
  std::uint64_t unsent = 0;
  std::set<std::pair<Time, StreamNumber>> again;  // to be read again then
  Time now{};

  std::vector<SenderEvent> events;
  std::vector<ClosedLink> closed;
  SenderTotals totals;
  bool superseded = false;

  Link& link(LinkRole role) { return links[index_of(role)]; }
  bool bulk_serves() const { return links[1].up && links[1].welcomed && !links[1].over; }

  // ---- what the local store has ----

  static bool has_lane(const StreamDescription& stream) {
    return !store::is_append_only(stream.kind);
  }

  StreamNumber add(StreamDescription description, bool tombstone) {
    const auto number = static_cast<StreamNumber>(entries.size());
    Entry& entry = entries.emplace_back(std::move(description));
    entry.tombstone = tombstone;
    const StreamDescription& stream = entry.out.description();
    if (has_lane(stream)) lanes[stream.path].push_back(number);
    if (stream.last) {
      last_ones.push_back(number);
    } else {
      ++incomplete;
    }
    if (tombstone) {
      ++open_ends;
      entry.out.ended({});
    }
    return number;
  }

  void account(Entry& entry) {
    const std::uint64_t now_unsent = entry.is_done() ? 0 : entry.out.unsent();
    unsent = unsent - entry.unsent + now_unsent;
    entry.unsent = now_unsent;
  }

  bool is_turn(StreamNumber number) const {
    const Entry& entry = entries[number];
    const StreamDescription& stream = entry.out.description();
    if (stream.last && incomplete > 0) return false;
    if (!has_lane(stream)) return true;
    const auto lane = lanes.find(stream.path);
    return lane != lanes.end() && lane->second.front() == number;
  }

  // Whether there is something to tell that can be told now.
  bool has_work(StreamNumber number) const {
    const Entry& entry = entries[number];
    if (entry.is_done() || entry.phase == Phase::kOpening) return false;
    if (!is_turn(number)) return false;
    if (entry.phase == Phase::kWaiting) {
      return entry.tombstone || entry.out.end() || entry.out.unsent() > 0 ||
             entry.out.step() != OutgoingStream::Step::kNothing;
    }
    if (entry.blocked) return false;
    const OutgoingStream::Step step = entry.out.step();
    if (step == OutgoingStream::Step::kData) return !entry.unreadable;
    return step != OutgoingStream::Step::kNothing;
  }

  void schedule(StreamNumber number) {
    Entry& entry = entries[number];
    if (entry.queued || !has_work(number)) return;
    entry.queued = true;
    const StreamDescription& stream = entry.out.description();
    if (entry.phase == Phase::kOpen) {
      link(entry.link).open.push(number, stream.kind);
    } else if (stream.kind == StreamKind::kFile) {
      files.push(number, size_class(entry), stream.mtime_ns);
    } else {
      waiting.push(number, stream.kind);
    }
  }

  static std::uint64_t size_class(const Entry& entry) {
    if (!entry.out.description().whole) return 0;
    return std::max(entry.out.description().size_hint, entry.out.size());
  }

  // ---- ends of streams ----

  void leave_link(StreamNumber number) {
    Entry& entry = entries[number];
    if (entry.phase != Phase::kOpening && entry.phase != Phase::kOpen) {
      return;
    }
    link(entry.link).streams.erase(number);
    drop_weight(entry);
    entry.phase = Phase::kWaiting;
  }

  void drop_weight(Entry& entry) {
    Link& its = link(entry.link);
    if (entry.weight == Weight::kLarge) --its.large_files;
    if (entry.weight == Weight::kSmall) --its.small_files;
    entry.weight = Weight::kNone;
  }

  void done(StreamNumber number, Phase how) {
    Entry& entry = entries[number];
    if (entry.is_done()) return;
    leave_link(number);
    entry.phase = how;
    account(entry);
    if (entry.out.end()) --open_ends;
    const StreamDescription& stream = entry.out.description();
    if (has_lane(stream)) {
      const auto lane = lanes.find(stream.path);
      if (lane != lanes.end()) {
        std::erase(lane->second, number);
        if (lane->second.empty()) {
          lanes.erase(lane);
        } else {
          schedule(lane->second.front());
        }
      }
    }
    if (!stream.last && --incomplete == 0) {
      for (const StreamNumber last : last_ones) schedule(last);
    }
  }

  void tell(StreamNumber number) {
    Entry& entry = entries[number];
    if (entry.event_listed || entry.tombstone) return;
    entry.event_listed = true;
    events.push_back({SenderEvent::Kind::kProgress, number, {}});
  }

  // ---- links ----

  void close_link(LinkRole role, std::string reason, std::chrono::milliseconds retry_after) {
    Link& its = link(role);
    if (!its.up || its.over) return;
    its.over = true;
    closed.push_back({role, std::move(reason), retry_after});
  }

  void forget_link(LinkRole role) {
    Link& its = link(role);
    // Some of these may have left the link since they were queued there.
    const std::vector<StreamNumber> queued = its.open.clear();
    for (const StreamNumber number : queued) entries[number].queued = false;
    for (const StreamNumber number : its.idle) entries[number].idle_listed = false;
    const std::set<StreamNumber> streams = std::move(its.streams);
    its = Link{};
    for (const StreamNumber number : streams) {
      Entry& entry = entries[number];
      entry.phase = Phase::kWaiting;
      entry.weight = Weight::kNone;
      entry.blocked = false;
      schedule(number);
    }
    for (const StreamNumber number : queued) schedule(number);
  }

  // Whether this link opens files now.
  bool serves_files(LinkRole role) const { return role == LinkRole::kBulk || !bulk_serves(); }

  // ---- output ----

  void refill(Link& its) {
    const auto passed =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - its.uncharged_at);
    if (passed < std::chrono::milliseconds(1)) return;
    its.uncharged_at = now;
    const std::uint64_t more =
        passed > std::chrono::seconds(1)
            ? kUnchargedRate
            : kUnchargedRate * static_cast<std::uint64_t>(passed.count()) / 1'000;
    for (std::uint64_t& left : its.uncharged) left = std::min(kUnchargedRate, left + more);
  }

  bool may_send(Link& its, StreamKind kind) {
    if (its.credit > 0) return true;
    if (!is_urgent(kind)) return false;
    if (its.uncharged[static_cast<std::size_t>(kind)] > 0) return true;
    its.starved = true;
    return false;
  }

  bool make_room(Link& its) {
    while (its.streams.size() >= its.most_streams && !its.idle.empty()) {
      const StreamNumber number = its.idle.front();
      its.idle.pop_front();
      Entry& entry = entries[number];
      entry.idle_listed = false;
      if (entry.phase != Phase::kOpen || &link(entry.link) != &its) continue;
      if (!is_idle(entry)) continue;
      wire::add_close(its.control, number);
      leave_link(number);
    }
    return its.streams.size() < its.most_streams;
  }

  static bool is_idle(const Entry& entry) {
    return !entry.out.end() && entry.out.step() == OutgoingStream::Step::kNothing &&
           entry.out.durable() >= entry.out.next();
  }

  void list_idle(StreamNumber number) {
    Entry& entry = entries[number];
    if (entry.idle_listed || entry.phase != Phase::kOpen) return;
    if (!is_idle(entry)) return;
    entry.idle_listed = true;
    link(entry.link).idle.push_back(number);
  }

  std::optional<StreamNumber> next_to_open(LinkRole role) {
    Link& its = link(role);
    if (role == LinkRole::kLive) {
      if (const auto number = waiting.pop([](StreamKind) { return true; })) return number;
    }
    if (!serves_files(role)) return std::nullopt;
    if (its.small_files < kSmallFiles) {
      if (const auto number = files.pop_small()) return number;
    }
    if (its.large_files < kLargeFiles) return files.pop_large();
    return std::nullopt;
  }

  // One frame that opens a stream.  False: there is none to open.
  bool open_one(LinkRole role, std::string& out) {
    Link& its = link(role);
    if (!make_room(its)) return false;
    while (const auto number = next_to_open(role)) {
      Entry& entry = entries[*number];
      entry.queued = false;
      if (entry.phase != Phase::kWaiting || !has_work(*number)) {
        schedule(*number);
        continue;
      }
      out += its.control;
      its.control.clear();
      entry.phase = Phase::kOpening;
      entry.link = role;
      entry.was_opened = true;
      its.streams.insert(*number);
      const StreamDescription& stream = entry.out.description();
      if (entry.tombstone) {
        wire::add_deleted(out, *number, stream.path);
        return true;
      }
      if (stream.kind == StreamKind::kFile && stream.whole) {
        entry.weight = size_class(entry) < FileQueue::kLarge ? Weight::kSmall : Weight::kLarge;
        ++(entry.weight == Weight::kSmall ? its.small_files : its.large_files);
      }
      wire::add(out, *number, stream);
      return true;
    }
    return false;
  }

  // The next of an open stream.  False: nothing can be told now.
  bool tell_one(LinkRole role, std::string& out, std::size_t most) {
    Link& its = link(role);
    while (const auto number = its.open.pop([&](StreamKind kind) { return may_send(its, kind); })) {
      Entry& entry = entries[*number];
      entry.queued = false;
      if (entry.phase != Phase::kOpen || !has_work(*number)) {
        schedule(*number);
        continue;
      }
      switch (entry.out.step()) {
        case OutgoingStream::Step::kNothing: break;
        case OutgoingStream::Step::kGap:
          wire::add(out, *number, entry.out.gap_here());
          entry.out.told_gap();
          break;
        case OutgoingStream::Step::kEnd:
          wire::add(out, *number, entry.out.end_here());
          entry.out.told_end();
          drop_weight(entry);
          break;
        case OutgoingStream::Step::kData: tell_data(its, *number, out, most); break;
      }
      schedule(*number);
      return true;
    }
    return false;
  }

  void tell_data(Link& its, StreamNumber number, std::string& out, std::size_t most) {
    Entry& entry = entries[number];
    const std::uint64_t offset = entry.out.next();
    const std::uint64_t left = entry.out.limit() - offset;
    const bool charged = its.credit > 0;
    std::uint64_t& allowed =
        charged ? its.credit
                : its.uncharged[static_cast<std::size_t>(entry.out.description().kind)];
    const std::size_t wanted = static_cast<std::size_t>(
        std::min({left, allowed, std::uint64_t{its.most_payload}, std::uint64_t{most}}));

    // A flood fills the whole of it: one allocation.
    if (left >= most) out.reserve(out.size() + most + protocol::kFrameHeaderSize);
    const std::size_t begin = protocol::begin_frame(out);
    const std::size_t payload = out.size();
    out.resize(payload + std::max<std::size_t>(wanted, sizeof(std::uint64_t)));
    const auto read = source.read(number, offset, std::span(out).subspan(payload, wanted));
    if (!read || (read->bytes == 0 && read->zeros == 0)) {
      out.resize(begin);
      entry.unreadable = true;
      if (read) {
        again.emplace(now + kReadAgain, number);
      } else {
        events.push_back({SenderEvent::Kind::kUnreadable, number, read.error().message});
      }
      return;
    }
    FrameHeader header;
    header.type = FrameType::kData;
    header.flags = charged ? 0 : protocol::kUncharged;
    header.offset = offset;
    header.stream = number;
    header.time_ns = clock();
    std::uint64_t count = 0;
    if (read->bytes > 0) {
      count = std::min<std::uint64_t>(read->bytes, wanted);
      out.resize(payload + count);
    } else {
      count = std::min(read->zeros, left);
      header.flags |= protocol::kZeros;
      std::memcpy(out.data() + payload, &count, sizeof count);
      out.resize(payload + sizeof count);
    }
    const std::uint64_t paid = out.size() - payload;
    allowed -= std::min(allowed, paid);
    protocol::end_frame(out, begin, header);
    if (read->bytes > 0) {
      totals.bytes_resent += entry.out.sent_before(count);
      totals.bytes_sent += count;
    }
    entry.out.told_data(count);
  }

  // ---- input ----

  // The stream of a message, while it is open on that link.
  Entry* stream_of(LinkRole role, StreamNumber number) {
    if (number >= entries.size()) return nullptr;
    Entry& entry = entries[number];
    const bool here = entry.phase == Phase::kOpening || entry.phase == Phase::kOpen;
    return here && entry.link == role ? &entry : nullptr;
  }

  Result<> take_all(LinkRole role) {
    Link& its = link(role);
    while (!its.over) {
      MUSTER_TRY_ASSIGN(const std::optional<FrameView> frame, its.reader.next_view());
      if (!frame) break;
      its.liveness.heard(now);
      MUSTER_TRY(take(role, *frame));
      if (its.control.size() > wire::kMaxFrame) return wire::broken("it asks and does not read");
    }
    return {};
  }

  Result<> take(LinkRole role, const FrameView& frame) {
    Link& its = link(role);
    if (frame.stream >= entries.size() && frame.stream != 0) {
      return wire::broken("stream " + std::to_string(frame.stream) + " was never opened");
    }
    if (!its.welcomed && frame.type != FrameType::kWelcome && frame.type != FrameType::kBye &&
        frame.type != FrameType::kPing && frame.type != FrameType::kPong) {
      return wire::broken("frame type " + std::to_string(static_cast<int>(frame.type)) +
                          " before a Welcome");
    }
    switch (frame.type) {
      case FrameType::kWelcome: return welcome(role, frame);
      case FrameType::kOpened: return opened(role, frame);
      case FrameType::kAck: return acknowledged(role, frame);
      case FrameType::kCredit: {
        MUSTER_TRY_ASSIGN(const std::uint64_t bytes, wire::read_credit(frame.payload));
        its.credit = std::min<std::uint64_t>(its.credit + bytes, 1ULL << 40);
        return {};
      }
      case FrameType::kRewind: return rewind(role, frame);
      case FrameType::kClose: closed_there(role, frame.stream); return {};
      case FrameType::kPing: {
        MUSTER_TRY_ASSIGN(const std::int64_t sent, wire::read_ping(frame.payload));
        const std::int64_t wall = clock();
        wire::add(its.control, wire::Pong{sent, wall, wall});
        return {};
      }
      case FrameType::kPong: return wire::read_pong(frame.payload).map([](const wire::Pong&) {});
      case FrameType::kBye: return bye(role, frame);
      default:
        return wire::broken("frame type " + std::to_string(static_cast<int>(frame.type)) +
                            " to a sender");
    }
  }

  Result<> welcome(LinkRole role, const FrameView& frame) {
    Link& its = link(role);
    MUSTER_TRY_ASSIGN(const wire::Welcome welcome, wire::read_welcome(frame.payload));
    if (its.welcomed) return wire::broken("a second Welcome");
    its.welcomed = true;
    its.most_streams = welcome.streams;
    its.most_payload = welcome.payload;
    its.credit = welcome.credit;
    its.uncharged.fill(kUnchargedRate);
    its.uncharged_at = now;
    ++totals.links;
    return {};
  }

  Result<> opened(LinkRole role, const FrameView& frame) {
    MUSTER_TRY_ASSIGN(wire::Opened opened, wire::read_opened(frame.payload));
    Entry* entry = stream_of(role, frame.stream);
    if (entry == nullptr) return {};
    if (!opened.refused.empty()) {
      refuse(frame.stream, opened.refused);
      return {};
    }
    const std::uint64_t lost = entry->out.opened_at({opened.next, opened.durable});
    if (opened.complete) {
      complete(frame.stream);
      return {};
    }
    entry->phase = Phase::kOpen;
    entry->blocked = false;
    moved(frame.stream, lost);
    return {};
  }

  // An OPEN of a link before this one was still on its way and took the stream there.
  void closed_there(LinkRole role, StreamNumber number) {
    if (stream_of(role, number) == nullptr) return;
    leave_link(number);
    schedule(number);
  }

  void moved(StreamNumber number, std::uint64_t lost) {
    account(entries[number]);
    tell(number);
    if (lost > 0) events.push_back({SenderEvent::Kind::kRollback, number, {}, lost});
    schedule(number);
    list_idle(number);
  }

  void complete(StreamNumber number) {
    done(number, Phase::kComplete);
    tell(number);
  }

  void refuse(StreamNumber number, const std::string& why) {
    done(number, Phase::kRefused);
    events.push_back({SenderEvent::Kind::kRefused, number, why});
  }

  // Told here: a receiver would only take it for a broken sender.
  void refuse_what_cannot_travel(StreamNumber number) {
    const StreamDescription& stream = entries[number].out.description();
    auto why = wire::why_no_name(stream.path);
    if (!why && stream.link_target.size() > wire::kMaxName) why = "it leads to a name too long";
    if (why) refuse(number, wire::shown_name(stream.path) + " is not sent: " + *why);
  }

  Result<> acknowledged(LinkRole role, const FrameView& frame) {
    MUSTER_TRY_ASSIGN(const std::vector<wire::Mark> marks, wire::read_marks(frame.payload));
    for (const wire::Mark& mark : marks) {
      Entry* entry = stream_of(role, mark.stream);
      if (entry == nullptr) continue;
      bool has_moved = false;
      if (!entry->out.acknowledged({mark.received, mark.durable}, has_moved)) {
        return wire::broken("bytes of stream " + std::to_string(mark.stream) +
                            " are acknowledged that were never sent");
      }
      if (mark.complete) {
        // Also without an end from us: a sender before us may have told it.
        complete(mark.stream);
      } else if (has_moved) {
        moved(mark.stream, 0);
      }
    }
    return {};
  }

  Result<> rewind(LinkRole role, const FrameView& frame) {
    MUSTER_TRY_ASSIGN(const wire::Rewind rewind, wire::read_rewind(frame.payload));
    Entry* entry = stream_of(role, frame.stream);
    // What was said to a stream that has been closed since: its next Opened tells how it is.
    if (entry == nullptr || entry->phase != Phase::kOpen) return {};
    if (rewind.reason == wire::RewindReason::kDigest && ++entry->digest_failures >= kDigestTries) {
      wire::add(link(role).control, frame.stream, StreamEnd{0, {}, false});
      refuse(frame.stream, rewind.text.empty() ? "its digest there is another" : rewind.text);
      return {};
    }
    const std::uint64_t lost = entry->out.rewind(rewind.expected);
    entry->blocked = rewind.wait;
    moved(frame.stream, lost);
    return {};
  }

  Result<> bye(LinkRole role, const FrameView& frame) {
    MUSTER_TRY_ASSIGN(const wire::Bye bye, wire::read_bye(frame.payload));
    if (bye.code == wire::ByeCode::kSuperseded && !superseded) {
      superseded = true;
      events.push_back({SenderEvent::Kind::kSuperseded, 0, bye.text});
    }
    close_link(role, bye.text, std::chrono::milliseconds(bye.retry_after_ms));
    return {};
  }
};

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
  Entry& entry = state_->entries[stream];
  entry.out.grown(size);
  entry.unreadable = false;
  state_->account(entry);
  state_->schedule(stream);
}

void Sender::gap(StreamNumber stream, const StreamGap& gap) {
  Entry& entry = state_->entries[stream];
  entry.out.add_gap(gap);
  entry.unreadable = false;
  state_->account(entry);
  state_->schedule(stream);
}

void Sender::freed(StreamNumber stream, std::uint64_t to) {
  state_->entries[stream].out.freed(to);
}

void Sender::ended(StreamNumber stream, const StreamEnd& end) {
  Entry& entry = state_->entries[stream];
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

Watermarks Sender::watermarks(StreamNumber stream) const {
  const Entry& entry = state_->entries[stream];
  return {entry.out.received(), entry.out.durable(), entry.phase == Phase::kComplete};
}

bool Sender::all_complete() const {
  return state_->open_ends == 0;
}
std::uint64_t Sender::unsent_bytes() const {
  return state_->unsent;
}
std::size_t Sender::buffered_bytes() const {
  std::size_t bytes = 0;
  for (const Link& link : state_->links) {
    bytes += link.control.size() + link.reader.buffered_bytes();
  }
  return bytes;
}
const store::Writer& Sender::writer() const {
  return state_->writer;
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
  Link& link = state_->link(role);
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
  Link& link = state.link(role);
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
  Link& link = state.link(role);
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
  for (const Link& link : state.links) {
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
    Link& link = state.link(role);
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
