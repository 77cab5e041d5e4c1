// From words to a plan's inputs: read the config, look at the node, find mpirun.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "launcher/cli/command_line.h"
#include "launcher/config/read_config.h"
#include "launcher/exec/source_tree.h"
#include "launcher/plan/make_plan.h"
#include "launcher/topology/discover.h"

namespace muster::cli {

using Problems = config::Problems;

struct LoadedRun {
  config::RunConfig config;
  std::string config_text;  // the file as given, or the settings of the form without a file
  plan::PlanInputs inputs;
  std::optional<exec::SourceTree> source;  // what will be copied
  bool lacks_source = false;               // it is not here: the head sends its copy
  std::string backend_note;                // why this backend, when nobody chose one; may be empty
};

// All problems at once, as the config library finds them.
tl::expected<config::RunConfig, Problems> load_config(const CommandLine& line,
                                                      std::string& config_text);

// The config, and what the machine has for it.
tl::expected<LoadedRun, Problems> load_run(const CommandLine& line);
// The same of a config that has been read; the second of this node alone, whatever the count of
// nodes.
tl::expected<LoadedRun, Problems> load_run(const CommandLine& line, config::RunConfig config,
                                           std::string config_text);
// `is_member`: the source may be missing here, the head has it.
tl::expected<LoadedRun, Problems> load_run_of_node(const CommandLine& line,
                                                   config::RunConfig config,
                                                   std::string config_text, bool is_member);

std::map<std::string, std::string> caller_environment();

// Which node to look at, and what the caller says of it.
topology::TopologyOptions topology_options(const CommandLine& line,
                                           std::map<std::string, std::string> environment);

// Whether the word names a program: a file here that may be executed, or one on PATH.
bool is_program_here(const std::string& word);

}  // namespace muster::cli
