// The words of a command line and the MUSTER_ variables beside it, parsed and checked by the table
// of options; nothing is done here.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/cli/given_values.h"
#include "launcher/cli/habits.h"
#include "launcher/config/read_config.h"
#include "launcher/report/console.h"
#include "muster/result.h"

namespace muster::cli {

enum class Format { kText, kJson, kArgv, kSvg };

// What a command is given; each command accepts its own options only.
struct CommandLine {
  std::string command;
  std::vector<std::string> whole;  // with argv[0], for the record of a run
  bool help = false;
  std::vector<std::string> words;                        // that are no options, before `--`
  std::optional<std::vector<std::string>> after_dashes;  // words after `--`, or of a program
  ProgramKind program_kind = ProgramKind::kProgram;
  std::vector<Echo> echoes;  // of words that torchrun or mpirun have

  Given given;  // options, from words and variables
  bool has(std::string_view option) const { return given.contains(option); }
  // Of several values the last.
  std::optional<std::string> text(std::string_view option) const;
  std::vector<std::string> texts(std::string_view option) const;
  // For messages, what the person wrote: "MUSTER_SINCE=noon", "--since noon"; and without the
  // value.
  std::string as_given(std::string_view option) const;
  std::string name_as_given(std::string_view option) const;

  std::vector<std::string> warnings;  // of misspelt variables

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
Result<CommandLine> parse_command_line(const std::string& command,
                                       std::span<const std::string> words,
                                       const CallerEnvironment& environment,
                                       const IsProgram& is_program = {});

}  // namespace muster::cli
