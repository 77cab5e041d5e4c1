// muster: which command, its words, its result, the exit code.

#include <csignal>
#include <cstdio>
#include <exception>
#include <system_error>
#include <optional>

#include "base/error_text.h"
#include "base/exit_code.h"
#include "base/process_limits.h"
#include "base/sandbox.h"
#include "base/signals.h"
#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/help.h"
#include "launcher/data/first_read.h"
#include "muster/version.h"

namespace muster::cli {
namespace {

tl::unexpected<Problems> usage(std::string message, std::string hint) {
  return tl::unexpected<Problems>(
      Problems{Error{ErrorCode::kUsage, std::move(message), std::move(hint), std::nullopt}});
}

// Words that a command does not take; `--` and what follows it count as such.
std::optional<Error> check_words(const CommandRow& command, const CommandLine& line) {
  using Words = CommandRow::Words;
  if (command.words == Words::kConfig || command.words == Words::kOwn) return std::nullopt;
  std::vector<std::string> words = line.words;
  if (line.after_dashes)
    words.insert(words.end(), line.after_dashes->begin(), line.after_dashes->end());
  const std::size_t most = command.words == Words::kRun ? 1 : 0;
  if (words.size() <= most) return std::nullopt;
  const std::string name(command.name);
  return Error{ErrorCode::kUsage,
               "muster " + name + (most == 0 ? " takes no words" : " takes one run") + ": " +
                   shell_quoted(words),
               "`muster " + name + " --help` shows what it takes", std::nullopt};
}

CommandResult dispatch(const std::vector<std::string>& words) {
  if (words.size() < 2) {
    return usage("no command", "`muster run -n 4 -- python3 train.py`; `muster --help` says more");
  }
  const std::string& name = words[1];
  const std::vector<std::string> rest(words.begin() + 2, words.end());
  if (name == "--version" || name == "version") {
    return print(std::string("muster ") + kVersion + "\n");
  }
  if (name == "--help" || name == "-h") return print(help_text());
  const CommandRow* command = find_command(name);
  if (command == nullptr) {
    const std::string near = did_you_mean_hint(name, command_names());
    return usage("unknown command \"" + name + "\"",
                 near.empty() ? "`muster --help` lists the commands" : near);
  }
  if (auto possible = answer_denied_calls(); !possible) {
    return tl::unexpected<Problems>(Problems{std::move(possible).error()});
  }
  auto line = parse_command_line(name, rest, caller_environment(), is_program_here);
  if (!line) return tl::unexpected<Problems>(Problems{std::move(line).error()});
  if (line->help) return print(help_text(*command));
  if (auto wrong = check_words(*command, *line)) {
    return tl::unexpected<Problems>(Problems{std::move(*wrong)});
  }
  for (const std::string& warning : line->warnings) {
    std::fprintf(stderr, "muster: warning: %s\n", warning.c_str());
  }
  line->whole = words;
  return command->function(*line);
}

// A message may quote bytes of a file or a program, NUL among them.
void print_error(const Error& problem) {
  const std::string text = format_error(problem);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// A thread that cannot be started is an exception of the standard library.
bool is_process_limit(const std::exception& broken) {
  const auto* failed = dynamic_cast<const std::system_error*>(&broken);
  return failed != nullptr && failed->code() == std::errc::resource_unavailable_try_again;
}

Error process_limit_error() {
  const std::string limits = process_limits();
  return Error{ErrorCode::kResources,
               "starting a thread: no more processes or threads are allowed" +
                   (limits.empty() ? "" : ": " + limits),
               kProcessLimitHint, std::nullopt};
}

int report_problems(const Problems& problems) {
  for (const Error& problem : problems) print_error(problem);
  return to_int(exit_code_for(problems.front().code));
}

}  // namespace
}  // namespace muster::cli

int main(int argc, char** argv) {
  using namespace muster;
  // Started by ourselves, to be left behind if it hangs.
  if (argc >= 3 && std::string_view(argv[1]) == data::kFirstReadWord) {
    return data::first_read(argv[2], {argv + 3, argv + argc});
  }
  std::signal(SIGPIPE, SIG_IGN);
  restore_child_signal();
  ensure_standard_descriptors();
  try {
    const auto code = cli::dispatch({argv, argv + argc});
    return code ? *code : cli::report_problems(code.error());
  } catch (const std::exception& broken) {
    if (cli::is_process_limit(broken)) return cli::report_problems({cli::process_limit_error()});
    std::fprintf(stderr,
                 "muster: internal error: %s\n  hint: please report this, with the command\n",
                 broken.what());
    return to_int(ExitCode::kInternal);
  }
}
