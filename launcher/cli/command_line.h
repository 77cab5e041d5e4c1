// The words of a command line, parsed and checked; nothing is done here.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "launcher/config/read_config.h"
#include "launcher/report/console.h"
#include "muster/result.h"

namespace muster::cli {

enum class Format { kText, kJson, kArgv };

// Everything that `run`, `plan`, `validate` and `topo` take; each command accepts its own options
// only.
struct CommandLine {
  bool help = false;
  std::vector<std::string> config_files;                 // words before `--` that are no options
  std::optional<std::vector<std::string>> after_dashes;  // words after `--`
  std::vector<config::Override> overrides;  // --set, -n and --backend, in the order of precedence

  report::ConsoleMode console = report::ConsoleMode::kRank0;
  std::optional<std::string> runs_dir;
  std::optional<std::string> run_id;
  bool stdin_to_rank0 = false;
  std::string topology_file;
  Format format = Format::kText;
};

// `command` is the subcommand's name; `words` what follows it.  Errors: kUsage, with a suggestion.
Result<CommandLine> parse_command_line(const std::string& command,
                                       std::span<const std::string> words);

}  // namespace muster::cli
