#include "launcher/cluster/host_list.h"

#include <string_view>

#include "base/text.h"

namespace muster::cluster {
namespace {

constexpr std::size_t kMostDigits = 9;

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= kMostDigits &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "003-007" → "003", "004", …
bool expand_range(std::string_view range, std::vector<std::string>& numbers) {
  const std::size_t dash = range.find('-');
  const std::string_view first = range.substr(0, dash);
  const std::string_view last = dash == std::string_view::npos ? first : range.substr(dash + 1);
  if (!all_digits(first) || !all_digits(last)) return false;
  const auto from = *parse_integer(std::string(first));
  const auto to = *parse_integer(std::string(last));
  if (to < from || static_cast<std::size_t>(to - from) >= kMostHosts) return false;
  for (auto each = from; each <= to; ++each) {
    std::string number = std::to_string(each);
    if (number.size() < first.size()) number.insert(0, first.size() - number.size(), '0');
    numbers.push_back(std::move(number));
  }
  return numbers.size() <= kMostHosts;
}

// One word, with any count of brackets: "rack[1-2]node[1-4]".
bool expand_word(std::string_view word, std::vector<std::string>& names) {
  std::vector<std::string> made = {""};
  while (!word.empty()) {
    const std::size_t open = word.find('[');
    const std::string_view plain = word.substr(0, open);
    if (plain.find(']') != std::string_view::npos) return false;
    for (std::string& name : made) name += plain;
    if (open == std::string_view::npos) break;
    const std::size_t close = word.find(']', open);
    if (close == std::string_view::npos) return false;
    std::vector<std::string> numbers;
    std::string_view ranges = word.substr(open + 1, close - open - 1);
    while (true) {
      const std::size_t comma = ranges.find(',');
      if (!expand_range(ranges.substr(0, comma), numbers)) return false;
      if (comma == std::string_view::npos) break;
      ranges.remove_prefix(comma + 1);
    }
    if (made.size() * numbers.size() > kMostHosts) return false;
    std::vector<std::string> longer;
    longer.reserve(made.size() * numbers.size());
    for (const std::string& name : made) {
      for (const std::string& number : numbers) longer.push_back(name + number);
    }
    made = std::move(longer);
    word.remove_prefix(close + 1);
  }
  for (std::string& name : made) {
    if (name.empty()) return false;
    names.push_back(std::move(name));
  }
  return names.size() <= kMostHosts;
}

// Where the word that begins at `from` ends: at a comma outside of brackets.
std::size_t end_of_word(const std::string& list, std::size_t from) {
  bool inside = false;
  for (std::size_t i = from; i < list.size(); ++i) {
    if (list[i] == '[') inside = true;
    if (list[i] == ']') inside = false;
    if (list[i] == ',' && !inside) return i;
  }
  return list.size();
}

}  // namespace

Result<std::vector<std::string>> expand_host_list(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t from = 0;;) {
    const std::size_t end = end_of_word(list, from);
    if (!expand_word(std::string_view(list).substr(from, end - from), names) || end == from) {
      return fail(ErrorCode::kUsage,
                  "`" + without_controls(list.substr(0, 200)) + "` is no list of hosts",
                  "it should look like gpu[003-007,9],cpu1");
    }
    if (end == list.size()) return names;
    from = end + 1;
  }
}

}  // namespace muster::cluster
