#include "collector/replication/liveness.h"

namespace muster::replication {

void Liveness::heard(Time now) {
  heard_ = now;
  asked_ = false;
  suspected_.reset();
  part_ = 0;
}

void Liveness::heard_part(Time now, std::size_t bytes) {
  if (bytes < part_ + kPart) return;
  heard(now);
  part_ = bytes;
}

Liveness::Verdict Liveness::tick(Time now) {
  const auto silence = now - heard_;
  if (silence >= kSuspectAfter) {
    if (!suspected_) {
      suspected_ = now;
    } else if (now - *suspected_ >= kConfirm) {
      return Verdict::kDead;
    }
  }
  if (silence < kAskAfter || asked_) return Verdict::kQuiet;
  asked_ = true;
  return Verdict::kAsk;
}

Liveness::Time Liveness::deadline() const {
  if (suspected_) return *suspected_ + kConfirm;
  return heard_ + (asked_ ? kSuspectAfter : kAskAfter);
}

std::optional<ClockSample> clock_sample(std::int64_t sent, std::int64_t received,
                                        std::int64_t answered, std::int64_t back) {
  // A peer may say anything: nothing here may overflow.
  std::int64_t there = 0;
  std::int64_t whole = 0;
  std::int64_t on_the_way = 0;
  std::int64_t out = 0;
  std::int64_t in = 0;
  if (__builtin_sub_overflow(answered, received, &there) ||
      __builtin_sub_overflow(back, sent, &whole) ||
      __builtin_sub_overflow(whole, there, &on_the_way) ||
      __builtin_sub_overflow(received, sent, &out) || __builtin_sub_overflow(answered, back, &in) ||
      there < 0 || on_the_way < 0) {
    return std::nullopt;
  }
  return ClockSample{out / 2 + in / 2, on_the_way};
}

}  // namespace muster::replication
