// The sending side of replication, without input or output: bytes and time in, bytes and events
// out.
//
// One Sender for each run and writer.  It has up to two links (connections that are authenticated
// by now), one for what is live and one for files; it survives all of them.
#pragma once

#include <chrono>
#include <cstdint>
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

enum class LinkRole : std::uint8_t { kLive = 1, kBulk = 2 };

struct Watermarks {
  std::uint64_t received = 0;  // in the receiver's files
  std::uint64_t durable = 0;   // on its disk: below it our copy may be freed
  bool complete = false;       // and so is the end
};

struct SenderEvent {
  enum class Kind {
    kProgress,    // watermarks of `stream` have moved
    kRefused,     // the receiver does not take `stream`; `text` says why
    kSuperseded,  // a newer writer has this run: nothing can be sent ever again
    kRollback,    // the receiver has less of `stream` than it had made durable
  };
  Kind kind = Kind::kProgress;
  StreamNumber stream = 0;
  std::string text = {};
};

class Sender {
 public:
  Sender(store::Writer writer, StreamSource& source);
  ~Sender();

  // What the local store has.
  StreamNumber add(StreamDescription stream);
  void grown(StreamNumber stream, std::uint64_t size);    // so many bytes can be read now
  void gap(StreamNumber stream, const StreamGap& gap);    // in order, within the size
  void ended(StreamNumber stream, const StreamEnd& end);  // nothing comes after it
  void deleted(const std::string& path);                  // a file: tell that it is gone
  Watermarks watermarks(StreamNumber stream) const;
  bool all_complete() const;           // everything that was ended is there
  std::uint64_t unsent_bytes() const;  // not durable at the receiver

  // Connections.  A link that comes replaces the one before in its role.
  void link_up(LinkRole role, Time now);
  void link_down(LinkRole role, Time now);
  // An Error: the other side does not keep to the protocol; close the connection.
  Result<> receive(LinkRole role, std::string_view bytes, Time now);
  // Bytes to send on that link now, at most about `most`; "" when there are none.
  std::string take_output(LinkRole role, std::size_t most, Time now);
  // When tick() is wanted next.
  std::optional<Time> deadline() const;
  void tick(Time now);
  // What happened since.
  std::vector<SenderEvent> take_events();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace muster::replication
