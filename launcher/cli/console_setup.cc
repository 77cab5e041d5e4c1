#include "launcher/cli/console_setup.h"

#include <unistd.h>

#include "launcher/report/status_line.h"

namespace muster::cli {

bool is_terminal(int fd) {
  return ::isatty(fd) != 0 && report::terminal_overprints();
}

report::ConsoleOptions console_options(const CommandLine& line, int world_size) {
  report::ConsoleOptions options;
  options.mode = line.console;
  options.prefix = world_size > 1;
  if (line.detach) {
    options.mode = report::ConsoleMode::kNone;
    return options;
  }
  options.stdout_is_terminal = is_terminal(STDOUT_FILENO);
  options.stderr_is_terminal = is_terminal(STDERR_FILENO);
  options.color = report::color_wanted();
  return options;
}

}  // namespace muster::cli
