// A directory for one test: removed when the test passes, kept with its path printed when it fails.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "base/files.h"

namespace muster::test {

class ScratchTest : public ::testing::Test {
 protected:
  ScratchTest() {
    std::string name = (std::filesystem::temp_directory_path() / "muster-test-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) scratch_ = name;
  }

  ~ScratchTest() override {
    if (scratch_.empty()) return;
    if (HasFailure()) {
      std::fprintf(stderr, "the files of this test are in %s\n", scratch_.c_str());
    } else {
      static_cast<void>(remove_tree(scratch_));
    }
  }

  void SetUp() override { ASSERT_FALSE(scratch_.empty()) << "no temporary directory"; }

  const std::filesystem::path& scratch() const { return scratch_; }

  std::filesystem::path write(const std::string& name, std::string_view text,
                              mode_t mode = 0644) const {
    const std::filesystem::path path = scratch_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

 private:
  std::filesystem::path scratch_;
};

}  // namespace muster::test
