// Bytes of one stream in, lines that are safe to show on a terminal out.  Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace muster::report {

class ConsoleLines {
 public:
  struct Options {
    bool color = true;   // false: colour sequences are taken out
    std::string prefix;  // before each line: "[3] "
  };

  // A longer line is shown in pieces of this many bytes, all but the last marked with " …".
  static constexpr std::size_t kMaxLine = 64 * 1024;

  explicit ConsoleLines(Options options) : options_(std::move(options)) {}

  // For the lines that are completed from now on.
  void set_prefix(std::string prefix) { options_.prefix = std::move(prefix); }

  // Appends the lines that `bytes` complete to `lines`, each with prefix and newline.
  void add(std::string_view bytes, std::string& lines);

  // End of the stream: what has no newline yet becomes a line.
  void flush(std::string& lines);

  // The unfinished line as it stands now, with its prefix and without colours: a progress bar, a
  // prompt.  "" when there is none.
  std::string live() const;
  bool has_live() const { return !pending_.empty(); }

 private:
  void keep(std::string_view part, std::string& lines);
  void emit(std::string_view raw, std::string_view ending, std::string& lines) const;
  void emit_piece(std::string& lines);

  Options options_;
  std::string pending_;           // raw bytes of the unfinished line; at most kMaxLine
  bool carriage_return_ = false;  // one came after pending_: the next text replaces it
};

}  // namespace muster::report
