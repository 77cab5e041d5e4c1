// What is in a directory.
#pragma once

#include <filesystem>
#include <vector>

namespace muster {

// Its entries' paths in the order of their names; none where it cannot be read.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& directory);

}  // namespace muster
