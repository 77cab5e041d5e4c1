// muster: which command, its words, its result, the exit code.

#include <csignal>
#include <cstdio>
#include <algorithm>
#include <exception>

#include "base/error_text.h"
#include "base/exit_code.h"
#include "base/signals.h"
#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/help.h"
#include "muster/version.h"

namespace muster::cli {
namespace {

const std::vector<std::string> kCommands = {"run", "plan", "validate", "topo", "help"};

tl::unexpected<Problems> usage(std::string message, std::string hint) {
  return tl::unexpected<Problems>(
      Problems{Error{ErrorCode::kUsage, std::move(message), std::move(hint), std::nullopt}});
}

CommandResult dispatch(const std::vector<std::string>& words) {
  if (words.size() < 2) {
    return usage("no command", "`muster run -n 4 -- python3 train.py`; `muster --help` says more");
  }
  const std::string& command = words[1];
  const std::vector<std::string> rest(words.begin() + 2, words.end());
  if (command == "--version" || command == "version") {
    std::printf("muster %s\n", kVersion);
    return 0;
  }
  if (command == "--help" || command == "-h" || command == "help") {
    std::fputs((rest.empty() ? help_text() : help_text(rest.front())).c_str(), stdout);
    return 0;
  }
  if (std::find(kCommands.begin(), kCommands.end(), command) == kCommands.end()) {
    const std::string near = did_you_mean_hint(command, kCommands);
    return usage("unknown command \"" + command + "\"",
                 near.empty() ? "`muster --help` lists the commands" : near);
  }
  auto line = parse_command_line(command, rest);
  if (!line) return tl::unexpected<Problems>(Problems{std::move(line).error()});
  if (line->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return 0;
  }
  if (command == "run") return run_command(*line, words);
  if (command == "plan") return plan_command(*line);
  if (command == "validate") return validate_command(*line);
  return topo_command(*line);
}

// A message may quote bytes of a file or a program, NUL among them.
void print_error(const Error& problem) {
  const std::string text = format_error(problem);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

int report_problems(const Problems& problems) {
  for (const Error& problem : problems) print_error(problem);
  return to_int(exit_code_for(problems.front().code));
}

}  // namespace
}  // namespace muster::cli

int main(int argc, char** argv) {
  using namespace muster;
  std::signal(SIGPIPE, SIG_IGN);
  restore_child_signal();
  ensure_standard_descriptors();
  try {
    const auto code = cli::dispatch({argv, argv + argc});
    return code ? *code : cli::report_problems(code.error());
  } catch (const std::exception& broken) {
    std::fprintf(stderr,
                 "muster: internal error: %s\n  hint: please report this, with the command\n",
                 broken.what());
    return to_int(ExitCode::kInternal);
  }
}
