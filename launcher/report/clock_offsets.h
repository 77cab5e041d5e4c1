// How far the clocks of a run's nodes are ahead of the collector's, as the collector measured it
// (.muster/clock.jsonl).
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace muster::report {

// By writer: "node-0".
using ClockOffsets = std::map<std::string, std::chrono::nanoseconds, std::less<>>;

// Empty where nothing was measured: then all times are of one clock, or cannot be compared better.
ClockOffsets read_clock_offsets(const std::filesystem::path& file);
// Of each writer's last measurements the one with the shortest round trip, which is off by half of
// that at most.  Lines that are none are passed over.  Pure.
ClockOffsets clock_offsets_of(std::string_view text);

}  // namespace muster::report
