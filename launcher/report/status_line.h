// One line at the bottom of a terminal that is printed over and over.  Pure but for the two small
// questions to the terminal and the environment.
#pragma once

#include <string>
#include <string_view>

namespace muster::report {

// Columns of the terminal behind `fd`; 80 when it does not say.
int terminal_columns(int fd);

// Whether the terminal behind `fd` is ours to draw on: not while another job of its shell is in the
// foreground.  True where that cannot be told.
bool is_foreground(int fd);

// Whether the terminal can be overprinted: TERM is set and not "dumb".
bool terminal_overprints();

// Whether colours are wanted: NO_COLOR is unset or empty.
bool color_wanted();

// `text` when it has at most `columns` code points; else its beginning and "…".  Control
// characters become blanks.
std::string elided(std::string_view text, int columns);

// Composes what a terminal must receive; whoever owns the terminal writes it.
class StatusLine {
 public:
  // Not enabled (a pipe, a dumb terminal): every answer is "".
  StatusLine(bool enabled, bool color) : enabled_(enabled), color_(color) {}

  bool enabled() const { return enabled_; }

  // The terminal has `columns` now.  A narrower one has broken the line into several, which most
  // terminals do; all of them are taken away.
  std::string resize(int columns);

  // Takes the line away, so that other lines can be printed in its place; "" when it is not shown.
  std::string hide();

  // Brings `text` onto the line; "" when it stands there already.
  std::string show(std::string_view text, int columns);

 private:
  bool enabled_;
  bool color_;
  std::string shown_;
};

}  // namespace muster::report
