#include "base/time_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>

namespace muster {
namespace {

using std::chrono::system_clock;

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes text from the front; once something did not fit it stays failed.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  bool next_is_one_of(std::string_view letters) const {
    return !rest_.empty() && letters.find(rest_.front()) != letters.npos;
  }
  bool next_is_digit() const { return !rest_.empty() && is_digit(rest_.front()); }

  // Whether the next character is one of these; it is taken then.
  bool skip(std::string_view letters) {
    const bool there = next_is_one_of(letters);
    if (there) rest_.remove_prefix(1);
    return there;
  }

  void expect(std::string_view letters) {
    if (!skip(letters)) failed_ = true;
  }

  // Exactly that many digits, within the range.
  int number(std::size_t digits, int least, int most) {
    int value = 0;
    for (; digits > 0; --digits) {
      if (!next_is_digit()) {
        failed_ = true;
        return least;
      }
      value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    if (value < least || value > most) failed_ = true;
    return value;
  }

  // Digits after a decimal point, as nanoseconds; more than nine are cut.
  std::chrono::nanoseconds fraction() {
    if (!next_is_digit()) failed_ = true;
    std::int64_t value = 0;
    std::int64_t unit = 100'000'000;
    while (next_is_digit()) {
      value += (rest_.front() - '0') * unit;
      unit /= 10;
      rest_.remove_prefix(1);
    }
    return std::chrono::nanoseconds(value);
  }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

std::chrono::minutes zone_offset(Cursor& text) {
  const bool negative = text.next_is_one_of("-");
  text.expect("+-");
  std::chrono::minutes offset = std::chrono::hours(text.number(2, 0, 23));
  text.skip(":");
  if (text.next_is_digit()) offset += std::chrono::minutes(text.number(2, 0, 59));
  return negative ? -offset : offset;
}

}  // namespace

std::optional<system_clock::time_point> parse_time(std::string_view given) {
  Cursor text(given);
  std::tm date{};
  date.tm_isdst = -1;
  date.tm_year = text.number(4, 1970, 2261) - 1900;  // the system clock's nanoseconds end in 2262
  text.expect("-");
  date.tm_mon = text.number(2, 1, 12) - 1;
  text.expect("-");
  date.tm_mday = text.number(2, 1, 31);
  const int day = date.tm_mday;
  std::chrono::nanoseconds fraction{};
  if (!text.at_end()) {
    text.expect("Tt ");
    date.tm_hour = text.number(2, 0, 23);
    text.expect(":");
    date.tm_min = text.number(2, 0, 59);
    if (text.skip(":")) date.tm_sec = text.number(2, 0, 60);
    if (text.skip(".")) fraction = text.fraction();
  }
  const bool leap_second = date.tm_sec == 60;
  const bool local = text.at_end();
  std::chrono::minutes offset{};
  if (!local && !text.skip("Zz")) offset = zone_offset(text);
  if (text.failed() || !text.at_end()) return std::nullopt;

  const std::time_t seconds = local ? ::mktime(&date) : ::timegm(&date);
  if (date.tm_mday != day && !leap_second) return std::nullopt;  // the 31st of a shorter month
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(
      std::chrono::seconds(seconds) + fraction - offset));
}

std::optional<std::chrono::milliseconds> parse_span(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t milliseconds;
  };
  constexpr std::array<Unit, 5> kUnits{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  constexpr std::int64_t kMost = std::int64_t{100} * 366 * 86'400'000;  // a hundred years

  std::int64_t sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::int64_t number = 0;
    std::size_t at = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      number = number * 10 + (text[at] - '0');
      if (number > kMost) return std::nullopt;
    }
    const std::size_t end = std::min(text.find_first_of("0123456789", at), text.size());
    const std::string_view name = text.substr(at, end - at);
    const Unit* unit = nullptr;
    for (const Unit& each : kUnits) {
      if (each.name == name) unit = &each;
    }
    if (at == 0 || unit == nullptr || number > (kMost - sum) / unit->milliseconds) {
      return std::nullopt;
    }
    sum += number * unit->milliseconds;
    text.remove_prefix(end);
  }
  return std::chrono::milliseconds(sum);
}

}  // namespace muster
