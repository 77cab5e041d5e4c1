// The frame: what carries every message of Muster, 32 bytes of header and a payload.
//
//   offset  size  field
//        0     4  payload length      checked against the limit before anything is allocated
//        4     1  type
//        5     1  flags
//        6     2  channel             connection-local handle of a stream; 0: the connection
//        8     8  offset              stream offset of the first payload byte
//       16     8  time                CLOCK_REALTIME in ns
//       24     4  reserved, 0
//       28     4  checksum            low half of XXH3-64 over bytes 0..27 and the payload
//
// Little-endian throughout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "muster/result.h"

namespace muster::protocol {

inline constexpr std::size_t kFrameHeaderSize = 32;
inline constexpr std::size_t kMaxControlPayload = 8U << 20;  // an environment may have megabytes

enum class FrameType : std::uint8_t {
  kAgentMessage = 1,     // payload: AgentMessage
  kLauncherMessage = 2,  // payload: LauncherMessage
  kControlRequest = 3,   // payload: ControlRequest
  kControlReply = 4,     // payload: ControlReply
};

struct Frame {
  FrameType type = FrameType::kAgentMessage;
  std::uint8_t flags = 0;
  std::uint16_t channel = 0;
  std::uint64_t offset = 0;
  std::int64_t time_ns = 0;
  std::string payload;
};

std::string encode(const Frame& frame);

// Takes bytes as they come and gives whole frames.  After an error the connection is useless.
class FrameReader {
 public:
  explicit FrameReader(std::size_t max_payload = kMaxControlPayload) : max_payload_(max_payload) {}

  void append(std::string_view bytes);
  // The next whole frame; nullopt: more bytes are needed.
  Result<std::optional<Frame>> next();

  std::size_t buffered_bytes() const { return buffer_.size(); }

 private:
  std::size_t max_payload_;
  std::string buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace muster::protocol
