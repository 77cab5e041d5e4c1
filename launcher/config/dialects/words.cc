#include "launcher/config/dialects/words.h"

#include "launcher/config/problems.h"

namespace muster::config {

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return small;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string plain_word(std::string_view text) {
  std::string word;
  for (const char c : lower(trimmed(text))) {
    if (c != '_') word += c;
  }
  return word;
}

std::string one_of(std::string_view text, std::string_view choices) {
  return in_quotes(text) + " is not one of " + std::string(choices);
}

}  // namespace muster::config
