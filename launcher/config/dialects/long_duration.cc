#include "launcher/config/dialects/long_duration.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "launcher/config/dialects/words.h"

namespace muster::config {
namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kMost = kDay * 36'500;

// Digits at the front, taken off the text.
std::optional<std::int64_t> take_number(std::string_view& text) {
  const std::size_t length = std::min(text.find_first_not_of("0123456789"), text.size());
  if (length == 0 || length > 9) return std::nullopt;
  const auto number = parse_integer(text.substr(0, length));
  text.remove_prefix(length);
  return number;
}

// Units in their order, each at most once: "1DT2H3M4.5S" without the P.
std::optional<std::int64_t> parse_iso(std::string_view text) {
  constexpr std::array<std::pair<char, std::int64_t>, 2> kDates{{{'w', 7 * kDay}, {'d', kDay}}};
  constexpr std::array<std::pair<char, std::int64_t>, 3> kTimes{{{'h', 3600}, {'m', 60}, {'s', 1}}};
  std::int64_t total = 0;
  bool any = false;
  const auto take_units = [&](const auto& units) {
    std::size_t next = 0;
    while (!text.empty() && text.front() != 't') {
      const auto number = take_number(text);
      if (!number) return false;
      if (text.starts_with('.')) {  // a fraction of a second is let go
        text.remove_prefix(1);
        if (!take_number(text) || !text.starts_with('s')) return false;
      }
      while (next < units.size() && !text.starts_with(units[next].first)) ++next;
      if (next == units.size()) return false;
      total += *number * units[next++].second;
      text.remove_prefix(1);
      any = true;
    }
    return true;
  };
  if (!take_units(kDates)) return std::nullopt;
  if (text.starts_with('t')) {
    text.remove_prefix(1);
    if (text.empty() || !take_units(kTimes)) return std::nullopt;
  }
  return any && text.empty() ? std::optional(total) : std::nullopt;
}

// "[days.]hours:minutes:seconds[.fraction]"
std::optional<std::int64_t> parse_time_span(std::string_view text) {
  std::int64_t days = 0;
  auto hours = take_number(text);
  if (hours && text.starts_with('.')) {
    text.remove_prefix(1);
    days = *hours;
    hours = take_number(text);
  }
  std::int64_t total = days * kDay + hours.value_or(0) * 3600;
  if (!hours || *hours > 23) return std::nullopt;
  for (const std::int64_t unit : {60, 1}) {
    if (!text.starts_with(':')) return std::nullopt;
    text.remove_prefix(1);
    const auto number = take_number(text);
    if (!number || *number > 59) return std::nullopt;
    total += *number * unit;
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!take_number(text)) return std::nullopt;
  }
  return text.empty() ? std::optional(total) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_long_duration(std::string_view text) {
  const std::string small = lower(trimmed(text));
  const auto seconds = small.starts_with('p') ? parse_iso(std::string_view(small).substr(1))
                                              : parse_time_span(small);
  return seconds && *seconds >= 1 && *seconds <= kMost ? seconds : std::nullopt;
}

}  // namespace muster::config
