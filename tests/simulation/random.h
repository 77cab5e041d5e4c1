// The only source of chance in a simulation: a seed gives the same run on every machine.
#pragma once

#include <cstdint>

namespace muster::simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  // From 0 to below `bound`.
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  // Both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  // Once in so many times.
  bool once_in(std::uint64_t times) { return below(times) == 0; }

 private:
  std::uint64_t state_;
};

// The bytes of every stream: a function of who it is and the offset, so that any can be checked
// anywhere.  One run of some files is zeros, and travels as a number.
struct Payload {
  std::uint64_t seed = 0;
  std::uint64_t zeros_from = 0;
  std::uint64_t zeros_to = 0;

  char at(std::uint64_t offset) const {
    if (offset >= zeros_from && offset < zeros_to) return '\0';
    std::uint64_t hash = seed + offset * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 29;
    return static_cast<char>((hash * 0xbf58476d1ce4e5b9U) >> 56);
  }
};

}  // namespace muster::simulation
