#include "protocol/frame.h"

#include <bit>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace muster::protocol {
namespace {

static_assert(std::endian::native == std::endian::little,
              "frames are written as they lie in memory");

constexpr std::size_t kChecksumOffset = 28;

template <typename T>
void put(std::string& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <typename T>
T get(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t checksum(std::string_view header, std::string_view payload) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, header.data(), kChecksumOffset);
  XXH3_64bits_update(&state, payload.data(), payload.size());
  return static_cast<std::uint32_t>(XXH3_64bits_digest(&state));
}

}  // namespace

std::size_t begin_frame(std::string& bytes) {
  const std::size_t begin = bytes.size();
  bytes.append(kFrameHeaderSize, '\0');
  return begin;
}

void end_frame(std::string& bytes, std::size_t begin, const FrameHeader& header) {
  const std::size_t payload = begin + kFrameHeaderSize;
  put(bytes, begin + 0, static_cast<std::uint32_t>(bytes.size() - payload));
  put(bytes, begin + 4, header.type);
  put(bytes, begin + 5, header.flags);
  put(bytes, begin + 6, header.channel);
  put(bytes, begin + 8, header.offset);
  put(bytes, begin + 16, header.time_ns);
  put(bytes, begin + 24, header.stream);
  const std::string_view whole(bytes);
  put(bytes, begin + kChecksumOffset, checksum(whole.substr(begin), whole.substr(payload)));
}

void append_frame(std::string& bytes, const FrameHeader& header, std::string_view payload) {
  const std::size_t begin = begin_frame(bytes);
  bytes.append(payload);
  end_frame(bytes, begin, header);
}

std::string encode(const Frame& frame) {
  std::string bytes;
  bytes.reserve(kFrameHeaderSize + frame.payload.size());
  append_frame(bytes, frame, frame.payload);
  return bytes;
}

void FrameReader::append(std::string_view bytes) {
  // What was read goes before more comes, or the buffer of a long connection would hold all of it.
  if (consumed_ > buffer_.size() / 2) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<Frame>> FrameReader::next() {
  MUSTER_TRY_ASSIGN(const std::optional<FrameView> view, next_view());
  if (!view) return std::nullopt;
  Frame frame;
  static_cast<FrameHeader&>(frame) = *view;
  frame.payload = view->payload;
  return frame;
}

Result<std::optional<FrameView>> FrameReader::next_view() {
  // What was given last is not looked at any more.
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
    consumed_ = 0;
  }
  const std::string_view waiting = std::string_view(buffer_).substr(consumed_);
  if (waiting.size() < kFrameHeaderSize) return std::nullopt;
  const std::size_t length = get<std::uint32_t>(waiting, 0);
  if (length > max_payload_) {
    return fail(ErrorCode::kInternal, "a frame announces " + std::to_string(length) +
                                          " bytes, at most " + std::to_string(max_payload_) +
                                          " are allowed");
  }
  if (waiting.size() < kFrameHeaderSize + length) return std::nullopt;

  const std::string_view payload = waiting.substr(kFrameHeaderSize, length);
  if (get<std::uint32_t>(waiting, kChecksumOffset) != checksum(waiting, payload)) {
    return fail(ErrorCode::kInternal, "a frame's checksum does not match its bytes");
  }
  FrameView frame;
  frame.type = get<FrameType>(waiting, 4);
  frame.flags = get<std::uint8_t>(waiting, 5);
  frame.channel = get<std::uint16_t>(waiting, 6);
  frame.offset = get<std::uint64_t>(waiting, 8);
  frame.time_ns = get<std::int64_t>(waiting, 16);
  frame.stream = get<std::uint32_t>(waiting, 24);
  frame.payload = payload;
  consumed_ += kFrameHeaderSize + length;
  return frame;
}

}  // namespace muster::protocol
