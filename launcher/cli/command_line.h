// The words of a command line and the MUSTER_ variables beside it, parsed and checked by the table
// of options; nothing is done here.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/read_config.h"
#include "launcher/report/console.h"
#include "muster/result.h"

namespace muster::cli {

enum class Format { kText, kJson, kArgv };

// One value of an option, and who gave it.
struct GivenValue {
  std::string text;  // "" for a switch
  std::string by;    // "--console", "MUSTER_CONSOLE"
};

// What a command is given; each command accepts its own options only.
struct CommandLine {
  std::string command;
  std::vector<std::string> whole;  // with argv[0], for the record of a run
  bool help = false;
  std::vector<std::string> words;                        // that are no options, before `--`
  std::optional<std::vector<std::string>> after_dashes;  // words after `--`

  // By the option's own long name, in the order in which they were given.
  std::map<std::string, std::vector<GivenValue>, std::less<>> given;

  bool has(std::string_view option) const { return given.contains(option); }
  // Of several values the last.
  std::optional<std::string> text(std::string_view option) const;
  std::vector<std::string> texts(std::string_view option) const;

  // What the commands need in other types.
  std::vector<config::Override> overrides;  // of the config, in the order of precedence
  report::ConsoleMode console = report::ConsoleMode::kRank0;
  std::string runs_dir = "runs";
  std::optional<std::string> run_id;
  bool stdin_to_rank0 = false;
  bool detach = false;
  std::string topology_file;
  Format format = Format::kText;
};

// `command` is the subcommand's name; `words` what follows it; `environment` the caller's.  Errors:
// kUsage, with a suggestion.
using CallerEnvironment = std::map<std::string, std::string>;
Result<CommandLine> parse_command_line(const std::string& command,
                                       std::span<const std::string> words,
                                       const CallerEnvironment& environment);

}  // namespace muster::cli
