// A directory that stands for "/" with a few files of the kernel in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

namespace muster::fuzz {

// One for the whole process; each input overwrites its files.
class Root {
 public:
  explicit Root(const std::vector<std::string>& directories) {
    std::string name = (std::filesystem::temp_directory_path() / "muster-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
    for (const std::string& directory : directories) {
      std::filesystem::create_directories(path_ / directory);
    }
  }
  ~Root() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const char* name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace muster::fuzz
