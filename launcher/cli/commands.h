// The table of commands.  To add one: a row in commands.cc, its options in options.cc, its function
// in a file of its own.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/cli/command_line.h"
#include "launcher/cli/load_run.h"

namespace muster::cli {

// The exit code, or what main prints.
using CommandResult = tl::expected<int, Problems>;

struct CommandRow {
  // What it takes beside options.
  enum class Words {
    kNothing,
    kConfig,  // a run config, or -- and a command
    kRun,     // a run's id, the beginning of one, its directory, or `latest`; nothing is `latest`
    kOwn,     // its function checks them
  };

  std::string_view name;
  std::string_view summary;  // "start a run and wait for its end"
  CommandResult (*function)(const CommandLine& line);
  Words words = Words::kNothing;
  std::string_view usage;          // lines without "muster COMMAND"
  std::string_view details = {};   // paragraphs below the options
  std::string_view examples = {};  // lines
  bool hidden = false;             // from the list in `muster --help`
};

// In the order in which help shows them.
std::span<const CommandRow> commands();
const CommandRow* find_command(std::string_view name);  // null when there is none
std::vector<std::string> command_names();               // those that are not hidden

CommandResult run_command(const CommandLine& line);
CommandResult plan_command(const CommandLine& line);
CommandResult validate_command(const CommandLine& line);
CommandResult convert_command(const CommandLine& line);
CommandResult topo_command(const CommandLine& line);
CommandResult logs_command(const CommandLine& line);
CommandResult metrics_command(const CommandLine& line);
CommandResult datastores_command(const CommandLine& line);
CommandResult files_command(const CommandLine& line);
CommandResult download_command(const CommandLine& line);
CommandResult runs_command(const CommandLine& line);
CommandResult status_command(const CommandLine& line);
CommandResult cancel_command(const CommandLine& line);
CommandResult attach_command(const CommandLine& line);
CommandResult sync_command(const CommandLine& line);
CommandResult cache_command(const CommandLine& line);
CommandResult relay_command(const CommandLine& line);
CommandResult token_command(const CommandLine& line);
CommandResult verify_command(const CommandLine& line);
CommandResult transfer_command(const CommandLine& line);
CommandResult help_command(const CommandLine& line);
CommandResult completion_command(const CommandLine& line);
CommandResult complete_command(const CommandLine& line);

// Prints a command's result; an error when not all of it reached stdout (a full disk behind a
// redirection), and a shell's exit code when the reader has seen enough.
CommandResult print(std::string_view text);

}  // namespace muster::cli
