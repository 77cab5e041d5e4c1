// One rank's stdout and stderr in one file with a few words before and after them, as Azure ML's
// driver logs are: a view for tools, beside the streams themselves.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace muster::store {

class DriverLog {
 public:
  enum class Stream { kStdout, kStderr };

  // Beyond `most` bytes of output it says where the rest is: nobody reads such a file, and a second
  // copy of everything fills disks.
  static constexpr std::uint64_t kMost = std::uint64_t{256} << 20;
  explicit DriverLog(std::filesystem::path path, std::uint64_t most = kMost)
      : path_(std::move(path)), most_(most) {}

  // Creates the file with `head`, and writes what has come until then.  Once.
  void begin(std::string_view head);
  // Whole lines, in the order in which they come; what is no line yet waits for its end.
  void append(Stream stream, std::string_view bytes);
  // Writes what waits, and `tail`.
  void end(std::string_view tail);

  // Why the file is not what it should be; "" when it is.
  const std::string& problem() const { return problem_; }

 private:
  void write(std::string_view bytes);
  void write_output(std::string_view bytes);

  std::filesystem::path path_;
  std::uint64_t most_;
  Fd fd_;
  std::array<std::string, 2> unfinished_;  // lines, by stream
  std::uint64_t output_ = 0;
  bool begun_ = false;
  char last_ = '\n';
  std::string problem_;
};

}  // namespace muster::store
