// What the fuzz targets share: how an input is taken apart, and how a broken promise is told.
//
// A target is LLVMFuzzerTestOneInput().  It keeps nothing from one input to the next, and besides
// not crashing it checks what its parser promises.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace muster::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The parts of an input that stands for several texts, divided by lines that say "%%".
inline std::vector<std::string_view> parts_of(std::string_view input) {
  constexpr std::string_view kDivider = "\n%%\n";
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at != input.npos;) {
    const std::size_t divider = input.find(kDivider, at);
    parts.push_back(input.substr(at, divider == input.npos ? divider : divider - at));
    at = divider == input.npos ? divider : divider + kDivider.size();
  }
  return parts;
}

// A promise of the parser.  abort(), so that the fuzzer keeps the input.
inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

}  // namespace muster::fuzz
