// Whose turn it is to send: streams that have something to tell, by kind and in turns.
//
// Kinds come in their order (store::StreamKind), so that metrics are not behind a flood of stdout;
// every few turns the lowest kind that waits is served, so that none waits for ever.  Streams of
// one kind take turns, so that one flooding rank does not hold up the others.  A number may be here
// once.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "collector/replication/stream_source.h"

namespace muster::replication {

class SendQueue {
 public:
  void push(StreamNumber stream, store::StreamKind kind) {
    queue_of(kind).push_back(stream);
    ++size_;
  }

  // The next of the kinds that `is_allowed`.
  std::optional<StreamNumber> pop(const std::function<bool(store::StreamKind)>& is_allowed);

  bool is_empty() const { return size_ == 0; }
  // Everything that was in it.
  std::vector<StreamNumber> clear();

 private:
  static constexpr std::size_t kKinds = 9;
  static constexpr unsigned kTurnsUntilLowest = 16;

  std::deque<StreamNumber>& queue_of(store::StreamKind kind) {
    return queues_[static_cast<std::size_t>(kind)];
  }

  std::array<std::deque<StreamNumber>, kKinds> queues_;
  std::size_t size_ = 0;
  unsigned turns_ = 0;
};

}  // namespace muster::replication
