#include "launcher/data/environment_file.h"

#include <sys/stat.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::data {
namespace {

constexpr std::size_t kLargestFile = 1U << 20;
constexpr std::size_t kShortestSecret = 4;  // a shorter value is no secret, and stands in any word

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool is_name(std::string_view name) {
  return !name.empty() && name.find_first_of(" \t\"'") == std::string_view::npos;
}

}  // namespace

Result<Variables> parse_environment_file(std::string_view text, const std::string& file_name) {
  Variables variables;
  int number = 0;
  for (const std::string& each : split(text, '\n')) {
    ++number;
    std::string_view line = trimmed(each);
    if (line.starts_with("export ")) line = trimmed(line.substr(7));
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos || !is_name(line.substr(0, equals))) {
      return Failure(
          Error{ErrorCode::kData,
                "line " + std::to_string(number) + " of " + file_name + " is no NAME=value",
                "write one variable a line, for example AWS_ACCESS_KEY_ID=…",
                {}});
    }
    std::string_view value = line.substr(equals + 1);
    const bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
                        value.front() == value.back();
    if (quoted) value = value.substr(1, value.size() - 2);
    variables.emplace_back(line.substr(0, equals), value);
  }
  return variables;
}

Result<Variables> read_environment_file(const std::filesystem::path& path) {
  auto text = read_file(path, kLargestFile);
  if (!text) {
    Error error = std::move(text).error();
    error.code = ErrorCode::kData;
    error.hint = "it is the environment_file of a datastore";
    return Failure(std::move(error));
  }
  return parse_environment_file(*text, path.string());
}

std::string check_permissions(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || (info.st_mode & 0077U) == 0) return "";
  return path.string() + " may hold credentials, and others may read it: chmod 600 " +
         shell_quoted(path.string());
}

std::string without_values(std::string text, const Variables& secrets) {
  for (const auto& [name, value] : secrets) {
    if (value.size() < kShortestSecret) continue;
    for (std::size_t at = text.find(value); at != std::string::npos; at = text.find(value, at)) {
      text.replace(at, value.size(), "…");
    }
  }
  return text;
}

}  // namespace muster::data
