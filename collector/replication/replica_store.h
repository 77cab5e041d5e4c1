// Where a receiver puts what comes.  The real one writes run directories (run_replica); the
// simulator has a disk that crashes.
//
// Called on the receiver's thread, and never from inside a call of its own.  append() may leave
// bytes in the page cache; what is durable is only what a sync() has confirmed, and that may take
// its time on another thread.
//
// Of one stream the receiver has at most one handle: it closes the one before it opens it again,
// and it opens again to learn where a stream is after an error.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/replication/stream_source.h"
#include "collector/store/writer.h"
#include "muster/result.h"

namespace muster::replication {

using Handle = std::uint64_t;  // of an open stream of a store, never used twice

struct OpenedStream {
  Handle handle = 0;
  std::uint64_t next = 0;     // the offset that comes next
  std::uint64_t durable = 0;  // below it everything is on the disk
  bool complete = false;      // its end is here: nothing is wanted
};

struct StreamGap {
  std::uint64_t from = 0;
  std::optional<std::uint64_t> to;  // nullopt: its end is unknown
  std::string reason;               // "overflow", "disk_full", … (docs/run-store.md)
};

struct StreamEnd {
  std::uint64_t length = 0;
  std::string digest;  // XXH3-128 of all bytes, in hex; "" where there are gaps
  bool commit = true;  // false: this generation of a file is given up
};

struct DurableMark {
  Handle handle = 0;
  std::uint64_t offset = 0;
  bool complete = false;  // its end as well
  // It cannot have its name after all: nothing of it is kept, and its writer is told why.
  std::string refused = {};
};

// How far a writer's clock is ahead of ours.
struct ClockOffset {
  std::int64_t offset_ns = 0;
  std::int64_t round_trip_ns = 0;  // it is off by half of this at most
};

class ReplicaStore {
 public:
  virtual ~ReplicaStore() = default;

  // Decides whether that writer may write, by its epoch, and keeps the decision: durable when this
  // returns.  Errors: kPermission: a newer one has the run ("superseded"), never again;
  // kRunDirectory: not now.
  virtual Result<> admit(const store::Writer& writer) = 0;
  // A writer that was admitted has a live link, or none any more: the run is being written here.
  virtual void attach(const store::Writer& /*writer*/) {}
  virtual void detach(const store::Writer& /*writer*/) {}
  // Errors: kRunDirectory: not now (no room, no descriptor), and it is tried again every second;
  // any other (kPermission: a bad name, another writer's stream, a quota): refused for good, and
  // the writer is told the message.
  virtual Result<OpenedStream> open(const store::Writer& writer,
                                    const StreamDescription& stream) = 0;
  // At `offset` == next of the stream.  After an Error the stream is opened again and goes on where
  // it then says; while `is_full()` only once that ends.  kPermission, here and below: it is
  // refused for good, as by open().
  virtual Result<> append(Handle stream, std::uint64_t offset, std::string_view bytes) = 0;
  virtual Result<> append_zeros(Handle stream, std::uint64_t offset, std::uint64_t count) = 0;
  virtual Result<> add_gap(Handle stream, const StreamGap& gap) = 0;
  // Its length is `next` (or commit is false).  Errors: kData: the digest is another: the stream is
  // opened again, and is sent again from the `next` that it then has (0).
  virtual Result<> finish(Handle stream, const StreamEnd& end) = 0;
  // A file of the output folders is gone at its writer.  Durable with the next sync().
  virtual Result<> tombstone(const store::Writer& writer, const std::string& path) = 0;
  // Nobody writes it now; its descriptors may go.
  virtual void close(Handle stream) = 0;

  virtual bool is_full() const = 0;  // no room: nothing is taken until there is
  // Makes durable what was appended until now, and says so, later and on the same thread, with a
  // mark for every open stream that has more durable bytes than was said of it before.  One at a
  // time. An Error: nothing more is durable; the streams are opened again, and what they lack then
  // comes again.
  virtual void sync(std::function<void(Result<std::vector<DurableMark>>)> done) = 0;
  // A better measurement of the writer's clock; for its clock.jsonl.
  virtual void clock(const store::Writer& /*writer*/, const ClockOffset& /*offset*/) {}
};

}  // namespace muster::replication
