// Durations as Azure writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace muster::config {

// "P7D", "PT1H30M" (ISO 8601), "1.00:00:00" and "12:30:00" (.NET): in seconds, at least 1.  Years
// and months are no fixed time, and refused like anything else: nullopt.
std::optional<std::int64_t> parse_long_duration(std::string_view text);

}  // namespace muster::config
