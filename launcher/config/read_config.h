// A run config as people write it → RunConfig, with everything that is wrong with it.
//
// read_config() and config_from_command() are pure; check_paths() alone looks at the file system.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "launcher/config/dialects/dialect.h"
#include "launcher/config/dialects/translation.h"
#include "launcher/config/problems.h"
#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::config {

// A value from the command line.  It replaces what the file says, under the same checks; of two for
// one key the later counts.
struct Override {
  std::string key_path;  // "limits.drain_timeout", "script_params.--lr"
  std::string value;     // as text; "" is what "key:" is in a file
  Origin origin;         // its text begins the messages: "--set node_count=1", "-n"
};

// "key.path=value" → an Override whose origin is that --set, or the variable that `by` names.
Result<Override> parse_set(std::string_view text, std::string_view by = "--set");

// How read_config() reads.
struct Reading {
  // Sees what could be read, also beside problems; its problems are told with the others.
  std::function<Problems(const RunConfig&)> check = {};
  // For dialects whose configs name others: the text of a file whose path counts from the
  // directory of the config.
  ReadBeside read_beside = {};
  std::optional<Dialect> dialect = {};  // nullopt: recognised from the content
};

// A config in any dialect.  file_name is the name for messages, as the user gave it;
// config_directory is absolute.  Problems are in file order, then those of overrides.
tl::expected<RunConfig, Problems> read_config(std::string_view text, const std::string& file_name,
                                              const std::string& config_directory,
                                              std::span<const Override> overrides,
                                              const Reading& reading = {});

// The form without a file.  More than one process without a backend passes here: whoever knows
// whether there is an mpirun chooses, when distributed_backend still has the origin kDefault.
tl::expected<RunConfig, Problems> config_from_command(std::vector<std::string> argv,
                                                      std::span<const Override> overrides);

// Whether what the config names is there: source_directory, entry_script.  current_directory is
// absolute; it counts where the config came without a file.
Problems check_paths(const RunConfig& config, const std::string& current_directory);

// The paths that check_paths() looked at, absolute; "" when the config names none.
std::string source_directory_path(const RunConfig& config, const std::string& current_directory);
std::string entry_script_path(const RunConfig& config, const std::string& current_directory);

// Where files of packages (pip_requirements_file, conda_file) are looked for, absolute: in
// source_directory, beside the config, and above a config that lies in .azureml or aml_config.
std::vector<std::string> packages_file_directories(const RunConfig& config,
                                                   const std::string& current_directory);
// The first of them that has it; where it would be in the first of all when none has.
std::string packages_file_path(const RunConfig& config, const std::string& current_directory,
                               const std::string& name);

// Every setting with its value and origin, as a table and as JSON.
std::string describe_text(const RunConfig& config);
std::string describe_json(const RunConfig& config);

// Every key of the format by its path, in the order of docs/config.md.
std::vector<std::string> key_paths();

}  // namespace muster::config
