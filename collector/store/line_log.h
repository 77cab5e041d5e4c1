// A file of records, one a line, that several append to and a crash may cut short.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::store {

class LineLog {
 public:
  explicit LineLog(std::filesystem::path path) : path_(std::move(path)) {}

  // Writes `line` (without its end) as soon as the disk takes it.
  void add(std::string line);
  void add_later(std::string line);  // with the next flush()
  Result<> flush();
  bool has_pending() const { return !pending_.empty(); }
  Result<> sync();

 private:
  Result<> write(const std::string& lines);

  std::filesystem::path path_;
  Fd fd_;  // opened with the first record: most runs have few
  std::deque<std::string> pending_;
};

// Calls back for every whole line of `text` that is no longer than a record can be.
template <typename Callback>
void for_each_line(std::string_view text, Callback callback) {
  constexpr std::size_t kLongest = 1 << 16;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return;
    if (end > 0 && end <= kLongest) callback(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

}  // namespace muster::store
