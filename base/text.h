// Small text functions that several libraries need.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);

// The candidate nearest to `word` by edit distance, if it is near enough to be what was meant.
std::optional<std::string> did_you_mean(std::string_view word,
                                        std::span<const std::string> candidates);

// "did you mean "x"?", or "" when nothing is near.
std::string did_you_mean_hint(std::string_view word, std::span<const std::string> candidates);

// A word as a POSIX shell must see it; unchanged when it needs no quotes.
std::string shell_quoted(std::string_view word);
std::string shell_quoted(std::span<const std::string> words);

// With "?" for each byte of a control character but tab (C0, DEL, and C1 as UTF-8 writes it): what
// somebody else wrote, safe to print, and of the same length.
std::string without_controls(std::string_view text);

// "850 ms", "12.3 s", "4 min 05 s", "2 h 03 min"
std::string format_duration(std::chrono::nanoseconds duration);

// "512 B", "1.5 MiB"
std::string format_bytes(std::uint64_t bytes);

// "2026-11-23T06:15:00.123456Z": UTC, RFC 3339, microseconds.
std::string format_utc(std::chrono::system_clock::time_point time);

// "1 rank", "4 ranks", "2 processes"
std::string counted(std::int64_t count, std::string_view singular);

// The whole text as one integer; nullopt for anything else ("1e3", "4 ", "").
std::optional<std::int64_t> parse_integer(std::string_view text);

}  // namespace muster
