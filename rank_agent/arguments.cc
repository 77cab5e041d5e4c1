#include "rank_agent/arguments.h"

#include <algorithm>
#include <optional>

namespace muster::agent {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

struct Reference {
  std::string_view name;
  std::size_t length = 0;  // from the $ on, braces included
};

// What `text`, which begins with a $, refers to; nullopt: it is just a $.
std::optional<Reference> reference_at(std::string_view text) {
  if (text.size() > 1 && text[1] == '{') {
    const std::size_t end = text.find('}', 2);
    if (end == std::string_view::npos) return std::nullopt;
    return Reference{text.substr(2, end - 2), end + 1};
  }
  const auto* end = std::find_if_not(text.begin() + 1, text.end(), is_name_character);
  const auto length = static_cast<std::size_t>(end - text.begin());
  if (length == 1) return std::nullopt;
  return Reference{text.substr(1, length - 1), length};
}

std::optional<std::string_view> find_value(const std::vector<std::string>& environment,
                                           std::string_view name) {
  for (const std::string_view variable : environment) {
    if (variable.size() > name.size() && variable[name.size()] == '=' &&
        variable.starts_with(name)) {
      return variable.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string expand_variables(std::string_view text, const std::vector<std::string>& environment) {
  std::string expanded;
  while (true) {
    const std::size_t dollar = text.find('$');
    expanded += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return expanded;
    text.remove_prefix(dollar);
    const auto reference = reference_at(text);
    const auto value = reference ? find_value(environment, reference->name) : std::nullopt;
    const std::size_t length = reference ? reference->length : 1;
    expanded += value ? *value : text.substr(0, length);
    text.remove_prefix(length);
  }
}

std::vector<std::string> training_argv(const protocol::RankSpec& spec,
                                       const std::vector<std::string>& environment) {
  std::vector<std::string> argv(spec.argv().begin(), spec.argv().end());
  const auto first = static_cast<std::size_t>(spec.expanded_first());
  const std::size_t end = first + static_cast<std::size_t>(spec.expanded_count());
  for (std::size_t i = first; i < std::min(end, argv.size()); ++i) {
    argv[i] = expand_variables(argv[i], environment);
  }
  return argv;
}

}  // namespace muster::agent
