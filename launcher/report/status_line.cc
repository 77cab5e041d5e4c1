#include "launcher/report/status_line.h"

#include <algorithm>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

namespace muster::report {
namespace {

// Some terminals wrap as soon as the last column is filled, and a key that is pressed (^C, ^Z) is
// echoed behind the line.
constexpr int kColumnsLeftFree = 3;
constexpr std::string_view kErase = "\r\x1b[K";
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kReset = "\x1b[0m";

bool begins_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

}  // namespace

int terminal_columns(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool is_foreground(int fd) {
  const pid_t group = ::tcgetpgrp(fd);
  return group < 0 || group == ::getpgrp();
}

bool terminal_overprints() {
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) != "" && std::string_view(term) != "dumb";
}

bool color_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

std::string elided(std::string_view text, int columns) {
  std::string kept;
  int count = 0;
  std::size_t last_begin = 0;
  for (const char c : text) {
    if (begins_code_point(c)) {
      if (count == columns) {
        kept.resize(last_begin);
        return columns > 0 ? kept + "…" : kept;
      }
      ++count;
      last_begin = kept.size();
    }
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    kept += control ? ' ' : c;
  }
  return kept;
}

std::string StatusLine::resize(int columns) {
  const int length =
      static_cast<int>(std::count_if(shown_.begin(), shown_.end(), begins_code_point));
  if (length <= columns || columns < 1) return {};
  shown_.clear();
  const int rows_above = (length - 1) / columns;
  return "\r\x1b[" + std::to_string(rows_above) + "A\x1b[J";
}

std::string StatusLine::hide() {
  if (shown_.empty()) return {};
  shown_.clear();
  return std::string(kErase);
}

std::string StatusLine::show(std::string_view text, int columns) {
  if (!enabled_) return {};
  std::string wanted = elided(text, std::max(columns - kColumnsLeftFree, 1));
  if (wanted == shown_) return {};
  if (wanted.empty()) return hide();
  shown_ = std::move(wanted);
  if (!color_) return std::string(kErase) + shown_;
  return std::string(kErase).append(kDim).append(shown_).append(kReset);
}

}  // namespace muster::report
