// The inside of a Sender, for the files that implement it: sender.cc (what its owner calls),
// sender_streams.cc (which stream is where), sender_output.cc (what is told next), sender_input.cc
// (what the receiver said).
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "collector/replication/file_queue.h"
#include "collector/replication/liveness.h"
#include "collector/replication/outgoing_stream.h"
#include "collector/replication/send_queue.h"
#include "collector/replication/sender.h"
#include "collector/replication/wire.h"
#include "protocol/frame.h"

namespace muster::replication {

// What travels without credit, a kind and second.
inline constexpr std::uint64_t kUnchargedRate = 64U << 10;

enum class SendPhase : std::uint8_t { kWaiting, kOpening, kOpen, kComplete, kRefused };
enum class FileWeight : std::uint8_t { kNone, kSmall, kLarge };  // of a file on its way

struct SentStream {
  explicit SentStream(StreamDescription stream) : out(std::move(stream)) {}

  OutgoingStream out;
  SendPhase phase = SendPhase::kWaiting;
  FileWeight weight = FileWeight::kNone;
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

  bool is_done() const { return phase == SendPhase::kComplete || phase == SendPhase::kRefused; }
};

struct SenderLink {
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

struct Sender::State {
  store::Writer writer;
  StreamSource& source;
  WallClock clock;

  std::deque<SentStream> entries;  // by number; references stay
  std::array<SenderLink, 2> links;
  SendQueue waiting;  // to be opened, but for files
  FileQueue files;    // files to be opened
  // What was added of a path that is replaced as a whole, in order: only the first travels.
  // Ordered, for what is below a path.
  std::map<std::string, std::deque<StreamNumber>, std::less<>> lanes;
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
  std::uint64_t blocked = 0;  // streams that the receiver said to wait with
  std::string blocked_why;    // what it said last
  bool hurry = false;

  SenderLink& link(LinkRole role) { return links[role == LinkRole::kBulk ? 1 : 0]; }
  bool bulk_serves() const { return links[1].up && links[1].welcomed && !links[1].over; }

  // ---- what the local store has ----

  static bool has_lane(const StreamDescription& stream);
  StreamNumber add(StreamDescription description, bool tombstone);
  void account(SentStream& entry);
  bool is_turn(StreamNumber number) const;
  std::vector<StreamNumber> lanes_in_the_way(const StreamDescription& stream) const;
  bool has_work(StreamNumber number) const;
  void schedule(StreamNumber number);
  static std::uint64_t size_class(const SentStream& entry);

  // ---- ends of streams ----

  void set_blocked(SentStream& entry, bool blocked);
  void leave_link(StreamNumber number);
  void drop_weight(SentStream& entry);
  void done(StreamNumber number, SendPhase how);
  void tell(StreamNumber number);

  // ---- links ----

  void close_link(LinkRole role, std::string reason, std::chrono::milliseconds retry_after);
  void forget_link(LinkRole role);
  // Whether this link opens files now.
  bool serves_files(LinkRole role) const { return role == LinkRole::kBulk || !bulk_serves(); }

  // ---- output ----

  void refill(SenderLink& its);
  bool may_send(SenderLink& its, store::StreamKind kind);
  bool make_room(SenderLink& its);
  static bool is_idle(const SentStream& entry);
  void list_idle(StreamNumber number);
  std::optional<StreamNumber> next_to_open(LinkRole role);
  bool open_one(LinkRole role, std::string& out);
  bool tell_one(LinkRole role, std::string& out, std::size_t most);
  void tell_data(SenderLink& its, StreamNumber number, std::string& out, std::size_t most);

  // ---- input ----

  SentStream* stream_of(LinkRole role, StreamNumber number);
  Result<> take_all(LinkRole role);
  Result<> take(LinkRole role, const protocol::FrameView& frame);
  Result<> welcome(LinkRole role, const protocol::FrameView& frame);
  Result<> opened(LinkRole role, const protocol::FrameView& frame);
  void closed_there(LinkRole role, StreamNumber number);
  void moved(StreamNumber number, std::uint64_t lost);
  void complete(StreamNumber number);
  void refuse(StreamNumber number, const std::string& why);
  void refuse_what_cannot_travel(StreamNumber number);
  Result<> acknowledged(LinkRole role, const protocol::FrameView& frame);
  Result<> rewind(LinkRole role, const protocol::FrameView& frame);
  Result<> bye(LinkRole role, const protocol::FrameView& frame);
};

}  // namespace muster::replication
