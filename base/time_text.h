// Moments as people and files write them (RFC 3339); format_utc() of base/text.h is the other way.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace muster {

// "2026-11-23T06:15:00.123456Z", "2026-11-23 06:15+01:00", "2026-11-23".  Without a zone it is
// local time, as whoever types it means it.  nullopt for anything else.
std::optional<std::chrono::system_clock::time_point> parse_time(std::string_view text);

// A span of time: "90s", "10m", "1h30m", "250ms", "2d".  A number alone is no span.
std::optional<std::chrono::milliseconds> parse_span(std::string_view text);

}  // namespace muster
