#include "launcher/data/transfer_glob.h"

#include <algorithm>

namespace muster::data {
namespace {

// The whole of `text`.
bool matches(std::string_view pattern, std::string_view text) {
  while (!pattern.empty()) {
    if (pattern.front() == '*') {
      const bool crosses = pattern.starts_with("**");
      pattern.remove_prefix(crosses ? 2 : 1);
      for (std::size_t skip = 0; skip <= text.size(); ++skip) {
        if (matches(pattern, text.substr(skip))) return true;
        if (!crosses && skip < text.size() && text[skip] == '/') return false;
      }
      return false;
    }
    if (text.empty()) return false;
    const bool fits =
        pattern.front() == '?' ? text.front() != '/' : pattern.front() == text.front();
    if (!fits) return false;
    pattern.remove_prefix(1);
    text.remove_prefix(1);
  }
  return text.empty();
}

}  // namespace

bool fits_glob(std::string_view pattern, std::string_view path) {
  if (pattern.starts_with('/')) return matches(pattern.substr(1), path);
  if (matches(pattern, path)) return true;
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] == '/' && matches(pattern, path.substr(at + 1))) return true;
  }
  return false;
}

bool fits_any_glob(std::span<const std::string> patterns, std::string_view path) {
  return patterns.empty() || std::any_of(patterns.begin(), patterns.end(),
                                         [&](const auto& each) { return fits_glob(each, path); });
}

}  // namespace muster::data
