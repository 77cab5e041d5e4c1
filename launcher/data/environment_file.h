// NAME=value lines for the environment of one mount helper: where credentials are.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/result.h"

namespace muster::data {

using Variables = std::vector<std::pair<std::string, std::string>>;

// As shells and `docker run --env-file` have them: comments, `export `, quotes around a value.
// Errors name the line, and never show its value.
Result<Variables> parse_environment_file(std::string_view text, const std::string& file_name);
Result<Variables> read_environment_file(const std::filesystem::path& path);

// "" or a warning: others may read it.
std::string check_permissions(const std::filesystem::path& path);

// `text` with each of the values replaced, for lines that a helper wrote.
std::string without_values(std::string text, const Variables& secrets);

}  // namespace muster::data
