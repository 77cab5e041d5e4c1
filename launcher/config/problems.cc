#include "launcher/config/problems.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"

namespace muster::config {
namespace {

constexpr std::size_t kMostProblems = 100;
constexpr std::size_t kMostShownBytes = 80;

bool is_continuation_byte(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

std::pair<int, int> place_of(const Error& error) {
  constexpr int kLast = std::numeric_limits<int>::max();
  if (!error.location || error.location->line == 0) return {kLast, error.location ? 0 : 1};
  return {error.location->line, error.location->column};
}

}  // namespace

Error problem_at(const Origin& origin, std::string_view key_path, std::string_view why,
                 std::string hint) {
  const std::string subject = origin.location ? printable(key_path) : printable(origin.text);
  return Error{ErrorCode::kConfig, subject + ": " + std::string(why), std::move(hint),
               origin.location};
}

void sort_and_limit(Problems& problems) {
  std::stable_sort(problems.begin(), problems.end(),
                   [](const Error& a, const Error& b) { return place_of(a) < place_of(b); });
  if (problems.size() <= kMostProblems) return;
  const std::size_t more = problems.size() - kMostProblems;
  problems.resize(kMostProblems);
  problems.push_back(
      {ErrorCode::kConfig, std::to_string(more) + " more problems are not shown", {}, {}});
}

std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) line += c == '\n' ? "\\n" : std::string(1, c == '\t' ? '?' : c);
  return without_controls(line);
}

std::string printable(std::string_view text) {
  std::size_t length = std::min(text.size(), kMostShownBytes);
  while (length < text.size() && length > 0 && is_continuation_byte(text[length])) --length;
  const std::string shown = on_one_line(text.substr(0, length));
  return length < text.size() ? shown + "…" : shown;
}

std::string in_quotes(std::string_view text) {
  return "\"" + printable(text) + "\"";
}

}  // namespace muster::config
