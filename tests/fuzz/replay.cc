// Stands in for libFuzzer's main(): gives every file of the named directories to the target, once.
// A directory without a file is an error: nothing would have been tested.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz_target.h"

int main(int argc, char** argv) {
  int count = 0;
  for (int at = 1; at < argc; ++at) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[at])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string input{std::istreambuf_iterator<char>(file), {}};
      if (!file) {
        std::fprintf(stderr, "cannot read %s\n", entry.path().c_str());
        return 1;
      }
      // Flushed: the last name printed is the input that crashed.
      std::printf("%s\n", entry.path().filename().c_str());
      std::fflush(stdout);
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
      ++count;
    }
  }
  if (count == 0) {
    std::fprintf(stderr, "usage: %s DIRECTORY...   (with inputs in them)\n", argv[0]);
    return 1;
  }
  std::printf("%d inputs\n", count);
  return 0;
}
