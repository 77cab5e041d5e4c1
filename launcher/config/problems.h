// What is wrong with a config: all of it at once, each problem at its place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::config {

using Problems = std::vector<Error>;  // in file order, then those of flags

// "<key path>: <why>" pointing into the file, or "--set a=b: <why>" for a value from a flag.
Error problem_at(const Origin& origin, std::string_view key_path, std::string_view why,
                 std::string hint = {});

// In file order; a flood (of a file that is no config) is cut, and says so.
void sort_and_limit(Problems& problems);

// The text on one line and without control characters: "\\n" for a newline, "?" for others.
std::string on_one_line(std::string_view text);

// The same for a message, cut when long; and in quotes.
std::string printable(std::string_view text);
std::string in_quotes(std::string_view text);

}  // namespace muster::config
