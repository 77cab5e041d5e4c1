// Messages of a link as plain structs, to and from frames.  Nothing of protobuf is seen outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/replication/replica_store.h"
#include "collector/replication/stream_source.h"
#include "muster/result.h"
#include "protocol/frame.h"

namespace muster::replication::wire {

inline constexpr std::size_t kMaxFrame = 1U << 20;
inline constexpr std::size_t kMaxData = 256U << 10;
inline constexpr std::size_t kMaxName = 4096;
inline constexpr std::size_t kMaxText = 4096;

struct Welcome {
  std::uint32_t streams = 0;
  std::uint32_t payload = 0;
  std::uint64_t credit = 0;
};

struct Opened {
  std::uint64_t next = 0;
  std::uint64_t durable = 0;
  bool complete = false;
  std::string refused = {};
};

struct Mark {
  StreamNumber stream = 0;
  std::uint64_t received = 0;
  std::uint64_t durable = 0;
  bool complete = false;
};

enum class RewindReason { kOrder = 0, kFull = 1, kFailed = 2, kDigest = 3 };

struct Rewind {
  std::uint64_t expected = 0;
  RewindReason reason = RewindReason::kOrder;
  bool wait = false;
  std::string text = {};
};

struct Pong {
  std::int64_t sent_ns = 0;
  std::int64_t received_ns = 0;
  std::int64_t answered_ns = 0;
};

enum class ByeCode { kClosed = 0, kSuperseded = 1, kReplaced = 2, kProtocol = 3, kFailed = 4 };

struct Bye {
  ByeCode code = ByeCode::kClosed;
  std::string text = {};
  std::uint64_t retry_after_ms = 0;
};

// Each adds one frame to `out`.
void add(std::string& out, const Welcome& message);
void add(std::string& out, StreamNumber stream, const StreamDescription& message);
void add(std::string& out, StreamNumber stream, const Opened& message);
void add(std::string& out, StreamNumber stream, const StreamGap& message);
void add(std::string& out, StreamNumber stream, const StreamEnd& message);
void add(std::string& out, StreamNumber stream, const Rewind& message);
void add(std::string& out, const std::vector<Mark>& marks);
void add(std::string& out, const Pong& message);
void add(std::string& out, const Bye& message);
void add_credit(std::string& out, std::uint64_t bytes);
void add_close(std::string& out, StreamNumber stream);
void add_deleted(std::string& out, StreamNumber stream, const std::string& path);
void add_ping(std::string& out, std::int64_t sent_ns);

// Why a stream or file of that name cannot travel at all; nullopt when it can.
std::optional<std::string> why_no_name(const std::string& path);
// A name from anywhere, for a message: its beginning.
std::string shown_name(const std::string& path);

// Each reads the payload of a frame of its type; an Error: it is none, or breaks a limit.
Result<Welcome> read_welcome(std::string_view payload);
// kPermission: that stream cannot be taken; nothing is wrong with the connection.
Result<StreamDescription> read_open(std::string_view payload);
Result<Opened> read_opened(std::string_view payload);
Result<StreamGap> read_gap(std::string_view payload);
Result<StreamEnd> read_end(std::string_view payload);
Result<Rewind> read_rewind(std::string_view payload);
Result<std::vector<Mark>> read_marks(std::string_view payload);
Result<Pong> read_pong(std::string_view payload);
Result<Bye> read_bye(std::string_view payload);
Result<std::uint64_t> read_credit(std::string_view payload);
// kPermission: as of read_open().
Result<std::string> read_deleted(std::string_view payload);
Result<std::int64_t> read_ping(std::string_view payload);
// The payload of a kData with kZeros.
Result<std::uint64_t> read_zeros(std::string_view payload);

// The other side does not keep to the protocol.
Failure broken(std::string what);

}  // namespace muster::replication::wire
