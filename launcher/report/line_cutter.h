// Bytes of a stream in, its lines out, each with where it begins.  Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "launcher/report/console_text.h"

namespace muster::report {

struct CutLine {
  std::string_view bytes;  // without the newline
  std::uint64_t offset = 0;
  bool newline = true;  // else a piece of a longer line, or what the stream ends with
};

class LineCutter {
 public:
  // Calls take(CutLine) for each line that `bytes`, which stand at `offset` of the stream,
  // complete.
  template <typename Take>
  void add(std::string_view bytes, std::uint64_t offset, Take take) {
    while (!bytes.empty()) {
      const std::size_t newline = bytes.find('\n');
      std::string_view part = bytes.substr(0, newline);
      bytes.remove_prefix(part.size());
      while (pending_.size() + part.size() > ConsoleLines::kMaxLine) {
        const std::size_t room = ConsoleLines::kMaxLine - pending_.size();
        keep(part.substr(0, room), offset);
        offset += room;
        part.remove_prefix(room);
        take(CutLine{pending_, begin_, false});
        pending_.clear();
      }
      if (newline == bytes.npos) return keep(part, offset);
      if (pending_.empty()) {
        take(CutLine{part, offset, true});
      } else {
        keep(part, offset);
        take(CutLine{pending_, begin_, true});
        pending_.clear();
      }
      offset += part.size() + 1;
      bytes.remove_prefix(1);
    }
  }

  // What has no newline yet becomes a line.
  template <typename Take>
  void flush(Take take) {
    if (!pending_.empty()) take(CutLine{pending_, begin_, false});
    pending_.clear();
  }

 private:
  void keep(std::string_view part, std::uint64_t offset) {
    if (pending_.empty()) begin_ = offset;
    pending_ += part;
  }

  std::string pending_;
  std::uint64_t begin_ = 0;
};

}  // namespace muster::report
