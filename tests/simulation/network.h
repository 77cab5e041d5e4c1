// One connection of the simulated network: two directions of bytes in order, each with a delay, a
// rate and whatever may happen to it.
#pragma once

#include <algorithm>
#include <deque>
#include <string>

#include "tests/simulation/judge.h"
#include "tests/simulation/random.h"

namespace muster::simulation {

class Pipe {
 public:
  static constexpr std::size_t kCapacity = 64U << 10;  // the sockets' buffers

  replication::Time stopped_until{};  // nothing arrives before (a blackhole)
  bool one_byte = false;              // arrives in the smallest pieces
  std::uint64_t flip_once_in = 0;     // pieces that arrive with a wrong bit
  std::size_t rate = 1U << 20;        // bytes a step
  std::chrono::milliseconds delay{1};

  std::size_t room() const { return bytes_ >= kCapacity ? 0 : kCapacity - bytes_; }
  std::size_t bytes() const { return bytes_; }

  void send(std::string piece, replication::Time now) {
    if (piece.empty()) return;
    bytes_ += piece.size();
    pieces_.push_back({now + delay, std::move(piece)});
  }

  // What arrives now, in pieces; empty: nothing more in this step.
  std::string arrive(replication::Time now, std::size_t& budget, Random& random) {
    if (now < stopped_until || budget == 0 || pieces_.empty() || pieces_.front().at > now)
      return {};
    Piece& first = pieces_.front();
    std::size_t count = std::min(budget, first.bytes.size());
    // Where a piece ends is chance; and one byte at a time only for a while, or a run takes hours.
    if (one_byte) {
      count = std::min<std::size_t>(count, random.between(1, 3));
    } else if (random.once_in(4)) {
      count = random.between(1, count);
    }
    std::string out = first.bytes.substr(0, count);
    if (count == first.bytes.size()) {
      pieces_.pop_front();
    } else {
      first.bytes.erase(0, count);
    }
    bytes_ -= count;
    budget -= count;
    if (flip_once_in != 0 && random.once_in(flip_once_in)) {
      char& byte = out[random.below(out.size())];
      byte = static_cast<char>(byte ^ (1 << random.below(8)));
    }
    return out;
  }

 private:
  struct Piece {
    replication::Time at;
    std::string bytes;
  };
  std::deque<Piece> pieces_;
  std::size_t bytes_ = 0;
};

}  // namespace muster::simulation
