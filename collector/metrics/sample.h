// One measured value, as whoever measured it said it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace muster::metrics {

constexpr std::size_t kLongestName = 255;

struct Sample {
  std::string name;
  double value = 0;                  // may be NaN or infinite
  std::optional<std::int64_t> step;  // nullopt: its number in its series
  std::optional<std::int64_t> time;  // ns since 1970; nullopt: when it arrived
  std::string labels;                // "key=value,key=value" in the order of their keys
  bool arrived = false;              // its time is only when it arrived

  bool operator==(const Sample&) const = default;
};

}  // namespace muster::metrics
