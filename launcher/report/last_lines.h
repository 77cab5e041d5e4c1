// The end of a stored stream, for a person.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace muster::report {

// The last `count` lines of the file, looking at no more than its last `max_bytes`; without colours
// and safe to print; where bytes of the stream are not stored a line says so.  Empty when the file
// is empty or cannot be read.
std::vector<std::string> last_lines(const std::filesystem::path& path, std::size_t count,
                                    std::size_t max_bytes);

}  // namespace muster::report
