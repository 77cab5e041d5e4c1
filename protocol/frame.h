// The frame: what carries every message of Muster, 32 bytes of header and a payload.
//
//   offset  size  field
//        0     4  payload length      checked against the limit before anything is allocated
//        4     1  type
//        5     1  flags
//        6     2  channel             connection-local handle; replication leaves it 0
//        8     8  offset              stream offset of the first payload byte
//       16     8  time                CLOCK_REALTIME in ns
//       24     4  stream              its sender's number for a stream (replication); else 0
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
  kMemberMessage = 5,    // payload: MemberMessage
  kHeadMessage = 6,      // payload: HeadMessage

  // Replication, docs/wire.md; payloads of replication.proto but for kData.
  kWelcome = 16,
  kOpen = 17,
  kOpened = 18,
  kData = 19,
  kGap = 20,
  kEnd = 21,
  kAck = 22,
  kCredit = 23,
  kRewind = 24,
  kClose = 25,  // no payload
  kDeleted = 26,
  kPing = 27,
  kPong = 28,
  kBye = 29,
};

// Flags of kData.
inline constexpr std::uint8_t kZeros = 1;      // payload: a u64, so many zero bytes
inline constexpr std::uint8_t kUncharged = 2;  // takes nothing from the credit
inline constexpr std::uint8_t kHurry = 4;      // its sender's room is short: durable soon, please

struct FrameHeader {
  FrameType type = FrameType::kAgentMessage;
  std::uint8_t flags = 0;
  std::uint16_t channel = 0;
  std::uint64_t offset = 0;
  std::int64_t time_ns = 0;
  std::uint32_t stream = 0;
};

struct Frame : FrameHeader {
  std::string payload;
};

// A frame that lies in its reader's buffer: until the reader is used again.
struct FrameView : FrameHeader {
  std::string_view payload;
};

std::string encode(const Frame& frame);

// For a flood, where no byte is copied twice: room for a header at the end of `bytes`, then
// whatever is appended there as payload, then the header.  begin_frame() returns what end_frame()
// wants.
std::size_t begin_frame(std::string& bytes);
void end_frame(std::string& bytes, std::size_t begin, const FrameHeader& header);
void append_frame(std::string& bytes, const FrameHeader& header, std::string_view payload);

// Takes bytes as they come and gives whole frames.  After an error the connection is useless.
class FrameReader {
 public:
  explicit FrameReader(std::size_t max_payload = kMaxControlPayload) : max_payload_(max_payload) {}

  void append(std::string_view bytes);
  // The next whole frame; nullopt: more bytes are needed.
  Result<std::optional<Frame>> next();
  // The same without a copy of the payload.
  Result<std::optional<FrameView>> next_view();

  std::size_t buffered_bytes() const { return buffer_.size(); }

 private:
  std::size_t max_payload_;
  std::string buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace muster::protocol
