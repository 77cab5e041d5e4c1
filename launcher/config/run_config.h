// The one type that every config dialect, and the form without a file, ends in.
//
// Pure data.  Each value carries its origin, so that `muster plan` can show where a number came
// from.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "muster/result.h"

namespace muster::config {

// A value that another one hides: what the file says where there is a flag.
struct Replaced {
  std::string by;  // "run.yaml:7:25"
  std::string value;
};

struct Origin {
  enum class Kind { kDefault, kFile, kSet, kFlag, kEnvironment, kDerived };

  Kind kind = Kind::kDefault;
  std::string text = "default";  // "run.yaml:7:25", "--set node_count=2", "-n", "derived: 1 GPU …"
  std::optional<Location> location = {};  // with kFile: for messages that point at the value
  std::vector<Replaced> replaced = {};    // the nearest first
};

template <typename T>
struct Setting {
  T value{};
  Origin origin{};
};

enum class Backend { kNone, kDirect, kMpi };  // distributed_backend: none | direct | mpi
enum class Oversubscribe { kAllow, kNever };

// What a rank runs: exactly one of three forms.
struct EntryScript {
  std::string path;  // relative to source_directory, or to the working directory without one
};
struct ShellCommand {
  std::string text;  // given to /bin/sh -c
};
struct Program {
  std::vector<std::string> argv;  // exec'd as it stands (the form without a file)
};
using WhatToRun = std::variant<EntryScript, ShellCommand, Program>;

struct ScriptParam {
  std::string name;  // "--regularization"; kept as written
  std::optional<std::string>
      value;  // its text as written ("1.0" stays "1.0"); nullopt: a bare flag
  std::vector<std::string> more_values = {};  // of a list: [1, 2] is value 1 and more_values {2}
};

using Milliseconds = std::chrono::milliseconds;

struct Limits {
  Setting<std::optional<std::chrono::seconds>> max_run_duration;  // max_run_duration_seconds
  Setting<Milliseconds> join_timeout{Milliseconds(600'000), {}};
  Setting<Milliseconds> stop_grace_period{Milliseconds(30'000), {}};
  Setting<Milliseconds> failure_grace_period{Milliseconds(3'000), {}};
  Setting<Milliseconds> drain_timeout{Milliseconds(60'000), {}};
  // From a stop that comes from outside to the launcher's own end: bounds the grace, the drain and
  // the outputs together.  nullopt: no bound; a default becomes 10 s for PID 1 (plan).
  Setting<std::optional<Milliseconds>> stop_budget;
};

struct Resources {
  Setting<std::optional<int>> gpus_per_process;   // nullopt: auto
  Setting<std::optional<int>> cores_per_process;  // nullopt: auto
  Setting<Oversubscribe> oversubscribe{Oversubscribe::kAllow, {}};
};

struct RunConfig {
  Setting<std::optional<std::string>> source_directory;  // as written; relative to config_directory
  Setting<WhatToRun> run;
  std::vector<Setting<ScriptParam>> script_params;
  std::vector<std::string> extra_arguments;  // what stood after `--` on the command line

  Setting<int> node_count{1, {}};
  Setting<std::optional<int>> process_count_per_node{1, {}};  // nullopt: auto
  Setting<Backend> distributed_backend{Backend::kNone, {}};

  std::vector<std::pair<std::string, Setting<std::string>>> environment_variables;  // in file order
  Setting<std::string> python_interpreter{"python3", {}};

  Resources resources;
  Limits limits;

  std::string file_name;         // as the user gave it; "" for the form without a file
  std::string config_directory;  // absolute; relative paths in the config start here
};

// "mpi" for Backend::kMpi.
std::string to_string(Backend backend);

// script_params as words, then extra_arguments: what follows the script on its command line.
std::vector<std::string> script_arguments(const RunConfig& config);

}  // namespace muster::config
