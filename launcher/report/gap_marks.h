// Shows a person what a stream's file holds, with a line where bytes are not stored: they read as
// zeros.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/stream_ledger.h"
#include "launcher/report/console_text.h"

namespace muster::report {

class GapMarks {
 public:
  explicit GapMarks(std::filesystem::path stream_file) : file_(std::move(stream_file)) {}

  // The file's bytes from `offset` on; the offsets of one call and the next go up.
  void add(std::uint64_t offset, std::string_view bytes, ConsoleLines& lines, std::string& text);
  // [from, to) is a hole of the file.
  void add_hole(std::uint64_t from, std::uint64_t to, ConsoleLines& lines, std::string& text);

 private:
  void look();
  void mark(const store::Gap& gap, ConsoleLines& lines, std::string& text);

  std::filesystem::path file_;
  std::vector<store::Gap> gaps_;  // known ends, in order
  std::uintmax_t ledger_size_ = 0;
  std::uint64_t told_to_ = 0;
};

}  // namespace muster::report
