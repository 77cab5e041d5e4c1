// Messages that wait for a connection, as frames.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <google/protobuf/message_lite.h>

#include "protocol/frame.h"

namespace muster::link {

class FrameQueue {
 public:
  void push(protocol::FrameType type, const google::protobuf::MessageLite& message) {
    const std::size_t begin = protocol::begin_frame(bytes_);
    message.AppendToString(&bytes_);
    protocol::FrameHeader header;
    header.type = type;
    protocol::end_frame(bytes_, begin, header);
  }

  std::string take(std::size_t most) {
    std::string taken = bytes_.substr(taken_, std::min(most, size()));
    taken_ += taken.size();
    // What has left is cut off in large pieces: a long queue must not be moved for each small one.
    if (taken_ == bytes_.size() || taken_ > kCutOff) {
      bytes_.erase(0, taken_);
      taken_ = 0;
    }
    return taken;
  }

  std::size_t size() const { return bytes_.size() - taken_; }
  bool is_empty() const { return size() == 0; }
  void clear() {
    bytes_.clear();
    taken_ = 0;
  }

 private:
  static constexpr std::size_t kCutOff = 4U << 20;

  std::string bytes_;
  std::size_t taken_ = 0;
};

}  // namespace muster::link
