// Unpacks a recorded sysfs (tests/data/sysfs/*.tree): lines "PATH = TEXT" for files, "PATH ->
// TARGET" for symbolic links; empty lines and those that begin with '#' are for readers.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace muster::test {

inline void unpack_sysfs(const std::filesystem::path& recorded,
                         const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  std::ifstream lines(recorded);
  if (!lines) throw std::runtime_error("no file " + recorded.string());
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    const std::size_t arrow = line.find(" -> ");
    const std::size_t equals = line.find(" = ");
    const fs::path path = directory / line.substr(0, std::min(arrow, equals));
    fs::create_directories(path.parent_path());
    if (arrow != std::string::npos) {
      fs::create_symlink(line.substr(arrow + 4), path);
    } else if (equals != std::string::npos) {
      std::ofstream(path) << line.substr(equals + 3) << '\n';
    } else {
      throw std::runtime_error(recorded.string() + ": neither a file nor a link: " + line);
    }
  }
}

}  // namespace muster::test
