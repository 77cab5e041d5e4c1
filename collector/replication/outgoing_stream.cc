#include "collector/replication/outgoing_stream.h"

#include <algorithm>

namespace muster::replication {

void OutgoingStream::grown(std::uint64_t size) {
  size_ = std::max(size_, size);
}

void OutgoingStream::add_gap(const StreamGap& gap) {
  if (!gap.to) {
    endless_ = gap;
    endless_told_ = false;
    return;
  }
  if (*gap.to <= gap.from) return;
  size_ = std::max(size_, *gap.to);
  cover(gap.from, *gap.to, gap.reason);
}

// What is a gap already keeps its reason.
std::uint64_t OutgoingStream::cover(std::uint64_t from, std::uint64_t to,
                                    const std::string& reason) {
  std::uint64_t covered = 0;
  auto it = gaps_.lower_bound(from);
  if (it != gaps_.begin()) {
    const auto before = std::prev(it);
    if (before->second.to > from) from = before->second.to;
    // A gap that grows stays one.
    if (before->second.to == from && before->second.reason == reason && from < to) {
      const std::uint64_t until = it == gaps_.end() ? to : std::min(to, it->first);
      covered += until - from;
      before->second.to = until;
      from = until;
    }
  }
  while (from < to) {
    it = gaps_.lower_bound(from);
    const std::uint64_t until = it == gaps_.end() ? to : std::min(to, it->first);
    if (from < until) {
      gaps_.emplace(from, Range{until, reason});
      covered += until - from;
    }
    if (it == gaps_.end() || it->first >= to) break;
    from = it->second.to;
  }
  return covered;
}

void OutgoingStream::freed(std::uint64_t to) {
  freed_ = std::max(freed_, to);
}

void OutgoingStream::ended(const StreamEnd& end) {
  end_ = end;
  end_told_ = false;
  if (end.commit && !endless_) size_ = std::max(size_, end.length);
}

std::uint64_t OutgoingStream::go_to(std::uint64_t next) {
  next_ = next;
  received_ = next;
  highest_ = std::max(highest_, next);
  endless_told_ = false;
  end_told_ = false;
  // Of what is given up nothing is wanted back.
  if (next >= freed_ || (end_ && !end_->commit)) return 0;
  return cover(next, freed_, "collector_rollback");
}

std::uint64_t OutgoingStream::opened_at(const Position& position) {
  // Less than before only after a crash that took what was acknowledged; that is the truth then.
  durable_ = position.durable;
  return go_to(position.next);
}

std::uint64_t OutgoingStream::rewind(std::uint64_t expected) {
  durable_ = std::min(durable_, expected);
  return go_to(expected);
}

bool OutgoingStream::acknowledged(const Position& position, bool& moved) {
  if (position.next > highest_) return false;
  moved = position.next > received_ || position.durable > durable_;
  // What was on its way when the receiver asked to go back may have been what it wanted.
  next_ = std::max(next_, position.next);
  received_ = std::max(received_, position.next);
  durable_ = std::max(durable_, position.durable);
  return true;
}

std::map<std::uint64_t, OutgoingStream::Range>::const_iterator OutgoingStream::gap_after(
    std::uint64_t offset) const {
  auto it = gaps_.upper_bound(offset);
  if (it != gaps_.begin() && std::prev(it)->second.to > offset) --it;
  return it;
}

std::uint64_t OutgoingStream::unsent() const {
  if (size_ <= durable_) return 0;
  std::uint64_t bytes = size_ - durable_;
  for (auto gap = gap_after(durable_); gap != gaps_.end() && gap->first < size_; ++gap) {
    bytes -= std::min(gap->second.to, size_) - std::max(gap->first, durable_);
  }
  return bytes;
}

std::uint64_t OutgoingStream::limit() const {
  std::uint64_t limit = size_;
  if (endless_) limit = std::min(limit, endless_->from);
  const auto gap = gap_after(next_);
  if (gap != gaps_.end()) limit = std::min(limit, gap->first);
  return limit;
}

OutgoingStream::Step OutgoingStream::step() const {
  if (end_ && !end_->commit) return end_told_ ? Step::kNothing : Step::kEnd;
  const auto gap = gap_after(next_);
  if (gap != gaps_.end() && gap->first <= next_) return Step::kGap;
  if (next_ < limit()) return Step::kData;
  if (endless_ && next_ >= endless_->from) {
    if (!endless_told_) return Step::kGap;
  } else if (end_ && next_ < end_->length) {
    return Step::kNothing;
  }
  return end_ && !end_told_ ? Step::kEnd : Step::kNothing;
}

StreamGap OutgoingStream::gap_here() const {
  const auto gap = gap_after(next_);
  if (gap != gaps_.end() && gap->first <= next_) {
    return {next_, gap->second.to, gap->second.reason};
  }
  return {next_, std::nullopt, endless_->reason};
}

StreamEnd OutgoingStream::end_here() const {
  StreamEnd end = *end_;
  if (!end.commit) return end;
  if (next_ != end.length && !description_.whole) {
    end.length = next_;
    end.digest.clear();
  }
  // Bytes that never get there are not in the receiver's digest.
  if (!gaps_.empty() || endless_) end.digest.clear();
  return end;
}

void OutgoingStream::told_data(std::uint64_t count) {
  next_ += count;
  highest_ = std::max(highest_, next_);
}

void OutgoingStream::told_gap() {
  const auto gap = gap_after(next_);
  if (gap != gaps_.end() && gap->first <= next_) {
    next_ = gap->second.to;
    highest_ = std::max(highest_, next_);
  } else {
    endless_told_ = true;
  }
}

std::uint64_t OutgoingStream::sent_before(std::uint64_t count) const {
  return highest_ > next_ ? std::min(count, highest_ - next_) : 0;
}

}  // namespace muster::replication
