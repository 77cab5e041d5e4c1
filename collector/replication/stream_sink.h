// Whom a follower of a run store tells what it finds: a Sender, or whoever runs one on a thread of
// its own.  The calls mean what they mean at the Sender (sender.h).
#pragma once

#include <string>

#include "collector/replication/replica_store.h"
#include "collector/replication/stream_source.h"

namespace muster::replication {

class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual StreamNumber add(StreamDescription stream) = 0;
  virtual void grown(StreamNumber stream, std::uint64_t size) = 0;
  virtual void gap(StreamNumber stream, const StreamGap& gap) = 0;
  virtual void freed(StreamNumber stream, std::uint64_t to) = 0;
  virtual void ended(StreamNumber stream, const StreamEnd& end) = 0;
  virtual void deleted(const std::string& path) = 0;
};

}  // namespace muster::replication
