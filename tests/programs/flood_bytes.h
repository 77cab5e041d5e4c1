// The bytes that flood writes, a function of rank and offset, so that any stored byte can be
// checked.
//
// Eight bytes at offset 8k are the little-endian splitmix64 of (rank << 40) + k; they contain every
// byte value, invalid UTF-8 included.  In the first `no_newline_for` bytes each newline is a
// vertical tab instead.  tests/support/muster_test.py has the same function.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace flood {

inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

struct Payload {
  std::uint64_t rank = 0;
  std::uint64_t no_newline_for = 0;

  // Fills `buffer` with the bytes from `offset` on; offset and the size are multiples of 8.
  void fill(std::vector<char>& buffer, std::uint64_t offset) const {
    for (std::size_t at = 0; at < buffer.size(); at += 8) {
      const std::uint64_t word = mixed((rank << 40) + (offset + at) / 8);
      std::memcpy(&buffer[at], &word, 8);
    }
    if (offset >= no_newline_for) return;
    const auto length = std::min<std::uint64_t>(buffer.size(), no_newline_for - offset);
    std::replace(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(length), '\n', '\v');
  }
};

}  // namespace flood
