// The inside of a Receiver, for the files that implement it: receiver.cc (what its owner calls),
// receiver_streams.cc (links and streams, what is acknowledged and durable), receiver_input.cc
// (what senders said).
#pragma once

#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "collector/replication/liveness.h"
#include "collector/replication/receiver.h"
#include "collector/replication/wire.h"
#include "protocol/frame.h"

namespace muster::replication {

// After an end somebody waits for "complete"; several ends share one sync.
inline constexpr std::chrono::milliseconds kSyncAfterEnd{20};
// A sender whose room is short frees what is durable; several pieces share one sync.
inline constexpr std::chrono::milliseconds kSyncInHurry{20};
inline constexpr std::chrono::milliseconds kTryAgain{1'000};

using StreamId = std::pair<LinkNumber, StreamNumber>;

enum class StreamStall : std::uint8_t { kNone, kFull, kFailed };

struct ReceivedStream {
  StreamDescription description;
  std::string key;
  Handle handle = 0;
  bool is_open = false;  // `handle` is one
  bool told = false;     // the sender knows where the stream is
  bool finished = false;
  bool rewound = false;  // was told to go back: what is beyond next comes from before that
  bool ack_listed = false;
  StreamStall stall = StreamStall::kNone;
  std::uint64_t next = 0;
  std::uint64_t durable = 0;
};

struct ReceiverLink {
  store::Writer writer;
  LinkRole role = LinkRole::kLive;
  protocol::FrameReader reader{wire::kMaxFrame};
  std::string output;
  bool over = false;
  bool attached = false;  // the store knows that it is here
  std::unordered_map<StreamNumber, ReceivedStream> streams;
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

inline std::string run_and_name(const store::Writer& writer) {
  return writer.run_id + '\0' + writer.name;
}

struct Receiver::State {
  ReplicaStore& store;
  ReceiverLimits limits;
  WallClock clock;

  std::map<LinkNumber, ReceiverLink> links;
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

  std::uint64_t window() const;
  void bye(LinkNumber number, wire::ByeCode code, std::string text,
           std::chrono::milliseconds retry_after = {});
  void release(LinkNumber number);
  void admit(LinkNumber number);
  void ask_clock(ReceiverLink& link);

  // ---- streams ----

  void close(ReceivedStream& stream);
  void erase(LinkNumber number, StreamNumber stream_number);
  ReceivedStream* find(const StreamId& id);
  void stall(const StreamId& id, ReceivedStream& stream, std::string why);
  void rewind(const StreamId& id, ReceivedStream& stream, wire::RewindReason reason, bool wait,
              std::string text);
  void open(const StreamId& id, wire::RewindReason reason, std::string text);
  void refuse(const StreamId& id, ReceivedStream& stream, std::string why);
  static void say_refused(ReceiverLink& link, StreamNumber number, std::string why);
  void failed(const StreamId& id, ReceivedStream& stream, const Error& error);

  // ---- acknowledgements ----

  static void ack_by(ReceiverLink& link, Time time);
  void list_ack(ReceiverLink& link, StreamNumber number, ReceivedStream& stream);
  void stored(ReceiverLink& link, StreamNumber number, ReceivedStream& stream, std::uint64_t count,
              std::uint64_t bytes);
  void acknowledge(ReceiverLink& link);

  // ---- durability ----

  void sync_by(Time time);
  void start_sync(const std::shared_ptr<State>& self);
  void synced(Result<std::vector<DurableMark>> marks);
  void durable(const DurableMark& mark);

  // ---- input ----

  Result<> take(LinkNumber number, const protocol::FrameView& frame);
  Result<> take_open(LinkNumber number, ReceiverLink& link, const protocol::FrameView& frame);
  ReceivedStream* taking(ReceiverLink& link, StreamNumber number);
  Result<> take_data(LinkNumber number, ReceiverLink& link, const protocol::FrameView& frame);
  void store_data(LinkNumber number, ReceiverLink& link, const protocol::FrameView& frame,
                  ReceivedStream& stream, bool zeros, std::uint64_t count);
  void give_credit(ReceiverLink& link);
  Result<> take_gap(LinkNumber number, ReceiverLink& link, const protocol::FrameView& frame);
  Result<> take_end(LinkNumber number, ReceiverLink& link, const protocol::FrameView& frame);
  Result<> take_deleted(LinkNumber number, ReceiverLink& link, const protocol::FrameView& frame);
  Result<> take_pong(ReceiverLink& link, const protocol::FrameView& frame);

  // ---- time ----

  void retry();
};

}  // namespace muster::replication
