// Where Muster keeps what the next run can use again: downloads, Python environments.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "muster/result.h"

namespace muster {

// MUSTER_CACHE_DIR, else muster/ in XDG_CACHE_HOME, else in ~/.cache; absolute, and made by whoever
// needs it.  An error when none of them is set.
Result<std::filesystem::path> cache_directory(
    const std::map<std::string, std::string>& environment);

}  // namespace muster
