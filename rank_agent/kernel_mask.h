// Sets of CPUs or NUMA nodes as system calls take them: words of bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/cpu_set.h"

namespace muster::agent {

inline constexpr std::size_t kBitsPerWord = 8 * sizeof(unsigned long);
inline constexpr std::size_t kMostMaskWords = (1U << 16) / kBitsPerWord;

inline std::vector<unsigned long> mask_of(const CpuSet& set) {
  std::vector<unsigned long> mask;
  for (const int index : set.to_vector()) {
    const auto bit = static_cast<std::size_t>(index);
    mask.resize(std::max(mask.size(), bit / kBitsPerWord + 1));
    mask[bit / kBitsPerWord] |= 1UL << (bit % kBitsPerWord);
  }
  return mask;
}

inline CpuSet set_of(const std::vector<unsigned long>& mask) {
  CpuSet set;
  for (std::size_t bit = 0; bit < mask.size() * kBitsPerWord; ++bit) {
    if ((mask[bit / kBitsPerWord] >> (bit % kBitsPerWord) & 1UL) != 0) {
      set.insert(static_cast<int>(bit));
    }
  }
  return set;
}

}  // namespace muster::agent
