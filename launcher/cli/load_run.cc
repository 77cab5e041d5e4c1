#include "launcher/cli/check_streams.h"
#include "launcher/cli/load_run.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <pwd.h>
#include <span>
#include <unistd.h>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "launcher/cli/container_facts.h"
#include "launcher/cli/process_counts.h"
#include "launcher/cli/python_facts.h"
#include "launcher/cli/run_data.h"
#include "launcher/cli/run_membership.h"
#include "launcher/exec/mpirun_probe.h"
#include "launcher/python_env/look.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargestConfig = 16U
                                       << 20;  // the config library refuses smaller ones, by name

tl::unexpected<Problems> one_problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

Error usage(std::string message, std::string hint) {
  return Error{ErrorCode::kUsage, std::move(message), std::move(hint), std::nullopt};
}

// `muster run -n 4 python3 train.py`: the words look like a command that lacks its `--`.
Error too_many_files(const CommandLine& line) {
  return usage("more than one config: " + shell_quoted(line.words),
               "a run takes one config file; to run a command write `muster run -n 4 -- " +
                   shell_quoted(line.words) + "`");
}

// "did you mean run.yaml?" for a file that lies beside the one that was named.
std::string near_file_hint(const fs::path& missing) {
  const fs::path directory = missing.has_parent_path() ? missing.parent_path() : fs::path(".");
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    if (at->is_regular_file(error)) names.push_back(at->path().filename().string());
  }
  return did_you_mean_hint(missing.filename().string(), names);
}

Result<std::string> read_config_file(const std::string& name) {
  auto text = read_file(name, kLargestConfig);
  if (text) return text;
  Error error = std::move(text).error();
  error.code = ErrorCode::kConfig;
  error.message = "cannot read the config: " + error.message;
  std::error_code ignored;
  if (!fs::exists(name, ignored)) {
    error.hint = near_file_hint(name);
    if (error.hint.empty()) {
      error.hint =
          "to run a command without a config, put -- before it: muster run -n 2 -- " + name;
    }
  } else if (fs::is_directory(name)) {
    error.hint = "name a file, for example " + (fs::path(name) / "run.yaml").string();
  } else {
    error.hint = "see who may read it: ls -l " + shell_quoted(name);
  }
  return Failure(std::move(error));
}

// A member without the source: the head has it.
bool head_has_source(const CommandLine& line, const config::RunConfig& config,
                     const fs::path& here) {
  if (!config.source_directory.value || config.in_place.value) return false;
  std::error_code error;
  if (fs::exists(config::source_directory_path(config, here.string()), error)) return false;
  const auto membership = run_membership(line, config, caller_environment());
  return membership && membership->several() && !membership->is_head();
}

config::Reading reading_of(const CommandLine& line, const fs::path& directory,
                           const fs::path& here) {
  config::Reading reading;
  reading.check = [&line, here](const config::RunConfig& found) {
    if (head_has_source(line, found, here)) return Problems();
    return config::check_paths(found, here.string());
  };
  reading.read_beside = [directory](const std::string& path) {
    return read_file((directory / path).string(), kLargestConfig);
  };
  if (const auto word = line.text("dialect")) reading.dialect = config::dialect_of_word(*word);
  return reading;
}

bool backend_is_open(const config::RunConfig& config) {
  const auto count = config.process_count_per_node.value;
  return std::holds_alternative<config::Program>(config.run.value) &&
         config.distributed_backend.origin.kind == config::Origin::Kind::kDefault &&
         (!count || *count > 1);
}

// Nobody chose: mpi where an Open MPI is found, else direct.
void choose_backend(LoadedRun& run) {
  auto& backend = run.config.distributed_backend;
  backend.origin.kind = config::Origin::Kind::kDerived;
  if (auto mpirun = exec::find_mpirun(run.inputs.caller_environment)) {
    backend.value = config::Backend::kMpi;
    backend.origin.text = "derived: Open MPI " + mpirun->version + " is on PATH";
    run.backend_note = "mpi, because Open MPI " + mpirun->version + " is on PATH";
    run.inputs.mpirun = std::move(*mpirun);
  } else {
    backend.value = config::Backend::kDirect;
    backend.origin.text = "derived: " + mpirun.error().message;
    const auto path = run.inputs.caller_environment.find("PATH");
    const bool another = path != run.inputs.caller_environment.end() &&
                         find_program("mpirun", path->second).has_value();
    run.backend_note =
        "direct, because " + (another ? mpirun.error().message : "no Open MPI was found");
  }
}

Result<std::string> find_agent() {
  MUSTER_TRY_ASSIGN(const fs::path self, own_executable());
  const fs::path agent = self.parent_path() / "muster-agent";
  if (::access(agent.c_str(), X_OK) == 0) return agent.string();
  return fail(ErrorCode::kInternal, "no muster-agent beside " + self.string(),
              "muster and muster-agent belong into one directory; cmake --install puts them there");
}

// As container runtimes do for a user whom no passwd entry knows.  Open MPI's PMIx looks for its
// settings in a home, and dies of it where there is none.
void ensure_home(std::map<std::string, std::string>& environment) {
  if (!environment.contains("HOME") && ::getpwuid(::geteuid()) == nullptr)
    environment["HOME"] = "/";
}

// Ranks may run in another directory, and a `muster` there is to find the same runs.
void ensure_absolute_runs_dir(std::map<std::string, std::string>& environment) {
  const auto found = environment.find("MUSTER_RUNS_DIR");
  if (found == environment.end() || found->second.empty()) return;
  found->second = fs::absolute(found->second).lexically_normal().string();
}

// What stands after `--`, or from the first word of a program on.
Result<std::vector<std::string>> program_argv(const CommandLine& line) {
  std::vector<std::string> argv = *line.after_dashes;
  if (line.program_kind == ProgramKind::kModule) argv.insert(argv.begin(), "-m");
  if (line.program_kind == ProgramKind::kScript) {
    std::error_code error;
    if (!fs::is_regular_file(argv.front(), error)) {
      std::string hint = near_file_hint(argv.front());
      if (hint.empty()) hint = "its path counts from the current directory";
      return Failure(Error{ErrorCode::kConfig, "the script " + argv.front() + " does not exist",
                           std::move(hint), std::nullopt});
    }
  }
  if (line.program_kind != ProgramKind::kProgram) argv.insert(argv.begin(), "python3");
  return argv;
}

// The form without a file.
tl::expected<config::RunConfig, Problems> config_of_program(
    const CommandLine& line, std::span<const config::Override> overrides) {
  if (!line.after_dashes || line.after_dashes->empty()) {
    return one_problem(usage("nothing to run: no config and no command",
                             "`muster run run.yaml`, or `muster run -n 4 -- python3 train.py`"));
  }
  auto argv = program_argv(line);
  if (!argv) return one_problem(std::move(argv).error());
  auto config = config::config_from_command(std::move(*argv), overrides);
  if (config && line.program_kind != ProgramKind::kProgram) {
    std::get<config::Program>(config->run.value).argv.front() = config->python_interpreter.value;
  }
  return config;
}

// This node; or those that are planned for: every --topology one of them, or one all of them.
Result<std::vector<topology::NodeInventory>> look_at_topologies(const CommandLine& line,
                                                                const LoadedRun& run,
                                                                bool this_node_alone) {
  constexpr int kMostNodes = 10'000;  // above any cluster, and what fits into memory
  const std::vector<std::string> files = line.texts("topology");
  const int wanted =
      run.inputs.one_node || this_node_alone ? 1 : std::max(1, run.config.node_count.value);
  const auto count = static_cast<std::size_t>(wanted);
  topology::TopologyOptions options = topology_options(line, run.inputs.caller_environment);
  if (files.size() > 1 && files.size() != count) {
    return Failure(
        usage(std::to_string(files.size()) + " topologies for " + counted(wanted, "node"),
              "give --topology once for all nodes, or once for each of them (node_count)"));
  }
  if (files.size() == 1 && wanted > kMostNodes) {
    return Failure(usage(std::to_string(wanted) + " nodes are too many to plan for",
                         "set node_count to " + std::to_string(kMostNodes) + " or less"));
  }
  std::vector<topology::NodeInventory> nodes;
  std::map<std::string, std::size_t> read;  // a thousand nodes are of a few kinds
  for (const std::string& file : files.empty() ? std::vector<std::string>{""} : files) {
    const auto [first, is_new] = read.emplace(file, nodes.size());
    if (is_new) {
      options.xml_file = file;
      MUSTER_TRY_ASSIGN(topology::NodeInventory inventory, topology::discover(options));
      nodes.push_back(std::move(inventory));
    } else {
      nodes.push_back(topology::NodeInventory(nodes[first->second]));
    }
  }
  if (files.size() == 1) nodes.resize(count, nodes.front());
  if (nodes.size() == 1) return nodes;
  // Files have names, and nodes must have different ones.
  for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].hostname += "-" + std::to_string(i);
  return nodes;
}

Result<> look_at_node(const CommandLine& line, LoadedRun& run, bool this_node_alone) {
  run.inputs.caller_environment = caller_environment();
  ensure_home(run.inputs.caller_environment);
  ensure_absolute_runs_dir(run.inputs.caller_environment);
  run.inputs.running_as_root = ::geteuid() == 0;
  run.inputs.one_node = line.has("one-node");
  run.inputs.is_first_process = ::getpid() == 1;
  run.inputs.current_directory = fs::current_path().string();
  run.inputs.python = find_python(run.config, run.inputs.caller_environment);
  run.inputs.container = find_container(run.inputs.caller_environment);
  if (plan::wants_packages(run.config) || run.config.python.user_managed.value) {
    MUSTER_TRY_ASSIGN(
        run.inputs.python_sources,
        python_env::look(run.config, run.inputs.caller_environment, run.inputs.current_directory));
  }
  for (const Echo& echo : line.echoes) {
    run.inputs.command_line.push_back({echo.given, echo.meaning, "command line"});
  }
  MUSTER_TRY_ASSIGN(run.inputs.agent_executable, find_agent());
  MUSTER_TRY_ASSIGN(run.inputs.nodes, look_at_topologies(line, run, this_node_alone));
  if (backend_is_open(run.config)) {
    choose_backend(run);
  } else if (run.config.distributed_backend.value == config::Backend::kMpi) {
    MUSTER_TRY_ASSIGN(run.inputs.mpirun, exec::find_mpirun(run.inputs.caller_environment));
  }
  return {};
}

// Before anything is made: what is not to be copied is refused by the plan.
Result<> look_at_source(const CommandLine& line, LoadedRun& run, bool may_be_missing) {
  if (!run.config.source_directory.value || run.config.in_place.value) return {};
  const std::string directory =
      config::source_directory_path(run.config, run.inputs.current_directory);
  std::error_code error;
  if (may_be_missing && !fs::exists(directory, error)) {
    run.lacks_source = true;
    return {};
  }
  MUSTER_TRY_ASSIGN(run.source, exec::look_at_source(directory, fs::absolute(line.runs_dir)));
  run.inputs.source = run.source->facts;
  return {};
}

}  // namespace

bool is_program_here(const std::string& word) {
  std::error_code error;
  const fs::path path = word;
  if (fs::is_directory(path, error)) return false;
  if (fs::exists(path, error)) return ::access(word.c_str(), X_OK) == 0;
  const char* search_path = std::getenv("PATH");
  return word.find('/') == std::string::npos &&
         find_program(word, search_path == nullptr ? "" : search_path).has_value();
}

topology::TopologyOptions topology_options(const CommandLine& line,
                                           std::map<std::string, std::string> environment) {
  topology::TopologyOptions options;
  options.xml_file = line.topology_file;
  options.gpus_file = line.text("gpus").value_or("");
  // The variable says where things are on this node; another one's file is not its business.
  const bool by_flag = line.name_as_given("topology-override").starts_with('-');
  if (line.topology_file.empty() || by_flag) {
    options.override_file = line.text("topology-override").value_or("");
  }
  options.environment = std::move(environment);
  return options;
}

std::map<std::string, std::string> caller_environment() {
  std::map<std::string, std::string> environment;
  for (const std::string& variable : own_environment()) {
    const std::size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) continue;
    environment[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  return environment;
}

tl::expected<config::RunConfig, Problems> load_config(const CommandLine& line,
                                                      std::string& config_text) {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  if (error) {
    return one_problem(
        system_error(ErrorCode::kUsage, "finding the current directory", error.value()));
  }
  if (line.words.size() > 1) return one_problem(too_many_files(line));
  auto config = [&]() -> tl::expected<config::RunConfig, Problems> {
    auto overrides = with_counts(line.overrides);
    if (!overrides) return one_problem(std::move(overrides).error());
    if (line.words.empty()) return config_of_program(line, *overrides);
    const std::string& name = line.words.front();
    auto text = read_config_file(name);
    if (!text) return one_problem(std::move(text).error());
    config_text = *text;
    const fs::path directory = fs::absolute(name).lexically_normal().parent_path();
    auto read = config::read_config(*text, name, directory.string(), *overrides,
                                    reading_of(line, directory, here));
    if (read && line.after_dashes) read->extra_arguments = *line.after_dashes;
    return read;
  }();
  if (!config) return config;
  if (auto problems = check_streams(config->streams, line, config->node_count.value > 1);
      !problems.empty()) {
    return tl::unexpected<Problems>(std::move(problems));
  }
  if (line.words.empty()) {
    config_text = config::describe_text(*config);
    if (auto problems = config::check_paths(*config, here.string()); !problems.empty()) {
      return tl::unexpected<Problems>(std::move(problems));
    }
  }
  return config;
}

namespace {

tl::expected<LoadedRun, Problems> load(const CommandLine& line, config::RunConfig config,
                                       std::string config_text, bool this_node_alone,
                                       bool may_lack_source) {
  LoadedRun run;
  run.config = std::move(config);
  run.config_text = std::move(config_text);
  if (auto looked = look_at_node(line, run, this_node_alone); !looked) {
    return one_problem(std::move(looked).error());
  }
  if (auto looked = look_at_source(line, run, may_lack_source); !looked) {
    return one_problem(std::move(looked).error());
  }
  if (auto looked = look_at_data(line, run); !looked) {
    return tl::unexpected<Problems>(std::move(looked).error());
  }
  return run;
}

}  // namespace

tl::expected<LoadedRun, Problems> load_run(const CommandLine& line) {
  std::string config_text;
  auto config = load_config(line, config_text);
  if (!config) return tl::unexpected<Problems>(std::move(config).error());
  return load_run(line, std::move(*config), std::move(config_text));
}

tl::expected<LoadedRun, Problems> load_run(const CommandLine& line, config::RunConfig config,
                                           std::string config_text) {
  return load(line, std::move(config), std::move(config_text), false, false);
}

tl::expected<LoadedRun, Problems> load_run_of_node(const CommandLine& line,
                                                   config::RunConfig config,
                                                   std::string config_text, bool is_member) {
  return load(line, std::move(config), std::move(config_text), true, is_member);
}

}  // namespace muster::cli
