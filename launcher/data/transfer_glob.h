// Patterns of file names, with the meaning that rclone gives them, so that a local copy takes the
// same files: `*` and `?` stop at a slash, `**` does not; a pattern that begins with a slash counts
// from the top, any other one fits the end of a path.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace muster::data {

bool fits_glob(std::string_view pattern, std::string_view path);

// Whether any fits; all do when there is none.
bool fits_any_glob(std::span<const std::string> patterns, std::string_view path);

}  // namespace muster::data
