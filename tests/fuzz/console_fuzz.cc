// ConsoleLines: what a training process writes becomes text that can do nothing to a terminal.  The
// first byte of an input is the size of the pieces in which it comes.

#include "launcher/report/console_text.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using muster::fuzz::require;
using muster::report::ConsoleLines;

// Length of the colour sequence that `text` begins with, else 0.
std::size_t color_length(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  const std::size_t end = text.find_first_not_of("0123456789;:", 2);
  return end != text.npos && text[end] == 'm' ? end + 1 : 0;
}

// Printable bytes, tabs, newlines; colours where they are wanted; no C1 control in UTF-8's
// disguise.
void check_safe(std::string_view text, bool color) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    std::size_t length = 1;
    if (byte == 0x1b) {
      length = color ? color_length(text.substr(at)) : 0;
      require(length > 0, "no escape sequence but colours");
    } else if (byte == 0xc2) {
      require(at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0xa0,
              "no C1 control");
    } else {
      require(byte >= 0x20 || byte == '\t' || byte == '\n', "no control character");
      require(byte != 0x7f, "no DEL");
    }
    at += length;
  }
}

std::string shown(std::string_view bytes, std::size_t piece, bool color) {
  ConsoleLines console({color, "[3] "});
  std::string lines;
  while (!bytes.empty()) {
    console.add(bytes.substr(0, piece), lines);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    const std::string live = console.live();
    check_safe(live, false);
    require(live.find('\n') == live.npos, "the live line is one line");
  }
  console.flush(lines);
  require(lines.empty() || lines.back() == '\n', "lines end");
  check_safe(lines, color);
  return lines;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = muster::fuzz::text_of(data, size).substr(1);
  for (const bool color : {false, true}) {
    const std::string whole = shown(bytes, bytes.size() + 1, color);
    require(whole == shown(bytes, std::size_t{1} + data[0], color),
            "lines do not depend on how their bytes came");
  }
  return 0;
}
