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

std::string encode(const Frame& frame) {
  std::string bytes(kFrameHeaderSize, '\0');
  put(bytes, 0, static_cast<std::uint32_t>(frame.payload.size()));
  put(bytes, 4, frame.type);
  put(bytes, 5, frame.flags);
  put(bytes, 6, frame.channel);
  put(bytes, 8, frame.offset);
  put(bytes, 16, frame.time_ns);
  put(bytes, kChecksumOffset, checksum(bytes, frame.payload));
  return bytes + frame.payload;
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
  Frame frame;
  frame.type = get<FrameType>(waiting, 4);
  frame.flags = get<std::uint8_t>(waiting, 5);
  frame.channel = get<std::uint16_t>(waiting, 6);
  frame.offset = get<std::uint64_t>(waiting, 8);
  frame.time_ns = get<std::int64_t>(waiting, 16);
  frame.payload = payload;

  consumed_ += kFrameHeaderSize + length;
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
    consumed_ = 0;
  }
  return frame;
}

}  // namespace muster::protocol
