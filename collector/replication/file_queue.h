// Which file is opened next: small ones in the order in which they came, because many of them are
// soon done, and of the large ones the newest, because an older checkpoint is worth less.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "collector/replication/stream_source.h"

namespace muster::replication {

class FileQueue {
 public:
  static constexpr std::uint64_t kLarge = 1U << 20;

  void push(StreamNumber stream, std::uint64_t size, std::int64_t mtime_ns) {
    if (size < kLarge) {
      small_.push_back(stream);
    } else {
      large_.emplace(~mtime_ns, stream);
    }
  }

  std::optional<StreamNumber> pop_small() {
    if (small_.empty()) return std::nullopt;
    const StreamNumber stream = small_.front();
    small_.pop_front();
    return stream;
  }

  std::optional<StreamNumber> pop_large() {
    if (large_.empty()) return std::nullopt;
    const StreamNumber stream = large_.begin()->second;
    large_.erase(large_.begin());
    return stream;
  }

 private:
  std::deque<StreamNumber> small_;
  std::set<std::pair<std::int64_t, StreamNumber>> large_;  // ~time: the newest comes first
};

}  // namespace muster::replication
