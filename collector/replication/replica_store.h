// Where a receiver puts what comes.  The real one writes run directories (run_replica); the
// simulator has a disk that crashes.
//
// Called on the receiver's thread.  append() may leave bytes in the page cache; what is durable is
// only what a sync() has confirmed, and that may take its time on another thread.
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

using Handle = std::uint64_t;  // of an open stream of a store

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
};

class ReplicaStore {
 public:
  virtual ~ReplicaStore() = default;

  // Decides whether that writer may write, by its epoch, and keeps the decision.  An Error: a newer
  // one has the run ("superseded").
  virtual Result<> admit(const store::Writer& writer) = 0;
  virtual Result<OpenedStream> open(const store::Writer& writer,
                                    const StreamDescription& stream) = 0;
  // At `offset` == next of the stream.  Errors: kRunDirectory; a full disk has `is_full()` say so.
  virtual Result<> append(Handle stream, std::uint64_t offset, std::string_view bytes) = 0;
  virtual Result<> append_zeros(Handle stream, std::uint64_t offset, std::uint64_t count) = 0;
  virtual Result<> add_gap(Handle stream, const StreamGap& gap) = 0;
  virtual Result<> finish(Handle stream, const StreamEnd& end) = 0;
  // A file of the output folders is gone at its writer.
  virtual Result<> tombstone(const store::Writer& writer, const std::string& path) = 0;
  // Nobody writes it now; its descriptors may go.
  virtual void close(Handle stream) = 0;

  virtual bool is_full() const = 0;  // no room: nothing is taken until there is
  // Makes durable what was appended until now, and says so, later and on the same thread.  One at a
  // time.  An Error: the streams' durable offsets stay, and what came after must come again.
  virtual void sync(std::function<void(Result<std::vector<DurableMark>>)> done) = 0;
};

}  // namespace muster::replication
