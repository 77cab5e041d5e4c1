#include "collector/replication/send_queue.h"

namespace muster::replication {

std::optional<StreamNumber> SendQueue::pop(
    const std::function<bool(store::StreamKind)>& is_allowed) {
  if (size_ == 0) return std::nullopt;
  const bool lowest_first = ++turns_ % kTurnsUntilLowest == 0;
  for (std::size_t i = 0; i < kKinds; ++i) {
    const std::size_t kind = lowest_first ? kKinds - 1 - i : i;
    std::deque<StreamNumber>& queue = queues_[kind];
    if (queue.empty() || !is_allowed(static_cast<store::StreamKind>(kind))) continue;
    const StreamNumber stream = queue.front();
    queue.pop_front();
    --size_;
    return stream;
  }
  return std::nullopt;
}

std::vector<StreamNumber> SendQueue::clear() {
  std::vector<StreamNumber> all;
  all.reserve(size_);
  for (std::deque<StreamNumber>& queue : queues_) {
    all.insert(all.end(), queue.begin(), queue.end());
    queue.clear();
  }
  size_ = 0;
  return all;
}

}  // namespace muster::replication
