// The sending side of replication, without input or output: bytes and time in, bytes and events
// out.
//
// One Sender for each run and writer.  It has up to two links (connections that are authenticated
// by now), one for what is live and one for files; it survives all of them.  It keeps no bytes:
// what has to be sent again is read again.  docs/wire.md has the conversation.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/replication/replica_store.h"
#include "collector/replication/stream_source.h"
#include "collector/store/writer.h"
#include "muster/result.h"

namespace muster::replication {

using Time = std::chrono::steady_clock::time_point;

// kControl: a launcher's to its run's head; nothing of a store goes over it.
enum class LinkRole : std::uint8_t { kLive = 1, kBulk = 2, kControl = 3 };

struct Watermarks {
  std::uint64_t received = 0;  // in the receiver's files
  std::uint64_t durable = 0;   // on its disk: below it our copy may be freed
  std::uint64_t unsent = 0;    // bytes that are not durable there, and can be
  bool complete = false;       // and so is the end
};

struct SenderEvent {
  enum class Kind {
    kProgress,    // watermarks of `stream` have moved
    kRefused,     // the receiver does not take `stream`; `text` says why
    kSuperseded,  // a newer writer has this run: nothing can be sent ever again
    kRollback,    // the receiver has less of `stream` than was freed here: it gets a Gap
    kUnreadable,  // the source failed: wants gap(), grown() or ended() before the stream goes on
  };
  Kind kind = Kind::kProgress;
  StreamNumber stream = 0;
  std::string text = {};
  std::uint64_t bytes = 0;  // of kRollback: that were durable there once, and are nowhere now
};

// A link whose connection is to be closed once its output has gone.
struct ClosedLink {
  LinkRole role = LinkRole::kLive;
  std::string reason;
  std::chrono::milliseconds retry_after{0};  // the receiver asks not to be called sooner
};

struct SenderTotals {
  std::uint64_t bytes_sent = 0;    // payload of streams, every time that it was sent
  std::uint64_t bytes_resent = 0;  // of these, what had been sent before
  std::uint64_t frames_sent = 0;
  std::uint64_t links = 0;  // that the receiver has welcomed
};

// CLOCK_REALTIME in ns: for frames' times and the clock's offset only, never for a deadline.
using WallClock = std::function<std::int64_t()>;
std::int64_t system_wall_clock();

class Sender {
 public:
  Sender(store::Writer writer, StreamSource& source, WallClock clock = system_wall_clock);
  ~Sender();

  // What the local store has.
  StreamNumber add(StreamDescription stream);
  void grown(StreamNumber stream, std::uint64_t size);  // so many bytes can be read now
  // These bytes are missing, in whatever order gaps are told; what the receiver has of them stays
  // there.  One without an end is the stream's last, and its end's length is then its `from`.
  void gap(StreamNumber stream, const StreamGap& gap);
  // Bytes below are durable there and not here any more: they are never read again.
  void freed(StreamNumber stream, std::uint64_t to);
  // Nothing comes after it.  commit false: it is given up, whatever was sent of it.
  void ended(StreamNumber stream, const StreamEnd& end);
  // A file: tell that it is gone.  What was added of one path is told in that order: the next
  // generation travels when the one before is complete or given up.
  void deleted(const std::string& path);
  // What is sent is wanted durable there as soon as can be: room is short here.
  void hurry(bool wanted);
  Watermarks watermarks(StreamNumber stream) const;
  bool all_complete() const;           // everything that was ended is there, or was refused
  std::uint64_t unsent_bytes() const;  // not durable at the receiver, and not missing here either

  // Connections.  A link that comes replaces the one before in its role.
  void link_up(LinkRole role, Time now);
  void link_down(LinkRole role, Time now);
  // An Error: the other side does not keep to the protocol; close the connection.
  Result<> receive(LinkRole role, std::string_view bytes, Time now);
  // Bytes to send on that link now, at most about `most`; "" when there are none.  There may be
  // some after every other call.
  std::string take_output(LinkRole role, std::size_t most, Time now);
  // When tick() is wanted next; nullopt: not before something else happens.
  std::optional<Time> deadline() const;
  void tick(Time now);
  std::vector<ClosedLink> take_closed();
  // What happened since.
  std::vector<SenderEvent> take_events();

  const store::Writer& writer() const;
  std::size_t buffered_bytes() const;  // of frames, in both directions: bounded
  bool superseded() const;             // for good
  // Why the receiver takes nothing of some stream for now (its disk is full); "" while it does.
  std::string held_up() const;
  bool welcomed(LinkRole role) const;  // the receiver takes the run on that link
  const SenderTotals& totals() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace muster::replication
