// What a sender reads from: the local run store.  The real one follows a run directory
// (store_follower); the simulator has its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "collector/store/stream_kind.h"
#include "muster/result.h"

namespace muster::replication {

using StreamNumber = std::uint32_t;  // of one sender, from 0

// What a receiver is told of a stream or file before its bytes.
struct StreamDescription {
  std::string path;  // relative to the run directory
  store::StreamKind kind = store::StreamKind::kLog;
  // Of a whole file, or of an append-only file of the output folders.
  std::uint64_t generation = 0;  // grows with every new content of a path
  bool whole = false;            // appears by rename when it is complete, else grows in place
  std::uint64_t size_hint = 0;
  std::int64_t mtime_ns = 0;
  std::uint32_t mode = 0644;
  int owner_rank = 0;            // lowest rank of its writer: who keeps the name in a conflict
  std::string link_target = {};  // of a symbolic link; it has no bytes then
  bool last = false;  // travels only when everything else is complete there: the final run.json
};

class StreamSource {
 public:
  struct Piece {
    std::size_t bytes = 0;    // that were read into the buffer; 0 with zeros 0: nothing is there
    std::uint64_t zeros = 0;  // a hole of the file instead: that many zero bytes
  };

  virtual ~StreamSource() = default;
  // Bytes from `offset` on, fewer than asked for where fewer are there.  Only what grown() has
  // announced and freed() has not taken is asked for.  An Error: they cannot be read any more (the
  // file changed or is gone); the owner gets kUnreadable and says what becomes of the stream.
  virtual Result<Piece> read(StreamNumber stream, std::uint64_t offset, std::span<char> into) = 0;
};

}  // namespace muster::replication
