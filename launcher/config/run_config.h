// The one type that every config dialect, and the form without a file, ends in.
//
// Pure data.  Each value carries its origin, so that `muster plan` can show where a number came
// from.
#pragma once

#include <chrono>
#include <cstdint>
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
enum class DataMode {
  kMount,
  kDownload,
  kUpload,
  kDirect
};  // inputs: no upload; outputs: no download
enum class DataType { kFolder, kFile };
// Who provides conda packages: micromamba, mamba or conda; or pip, by the same names from its
// index.
enum class CondaBy { kConda, kPip };
// How ranks get the node's GPUs: neighbours in blocks; GPU k for local rank k; evenly spaced.
enum class GpuAssignment { kBlock, kOrdinal, kSpread };
enum class GpuVisibility { kAll, kOwn };  // what CUDA_VISIBLE_DEVICES lets a rank see
// Which layout of cores is taken: the one with the best score, or a given one.
enum class CoreLayout { kBest, kStrict, kBalanced, kSpill };
enum class MemoryPolicy { kPreferred, kStrict, kInterleave, kNone };
enum class Binder { kAgent, kRankfile, kNone };  // who binds ranks to their cores
enum class NicVisibility { kAll, kOwn };  // whether a rank is told its nearest RDMA devices alone
// Who gives ranks OMPI_COMM_WORLD_*: mpirun alone?
enum class MpiIdentity { kMpirun, kEmulate };

// What a reader of another dialect has to say beside the settings.
struct Remark {
  enum class Kind {
    kIgnored,    // an unknown key: kept in the copy of the config, and not used
    kElsewhere,  // what Muster does not do here: a compute target, a priority
    kWarning,    // two numbers that disagree, a request that is not honoured; `run` prints these
  };

  Kind kind = Kind::kIgnored;
  std::string text;  // "target: …"
  Origin origin{};
};

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

// One entry of inputs or outputs: data that is brought to the ranks, or taken from them.
struct DataBinding {
  std::string name;  // letters, digits and _; in AZURE_ML_INPUT_<name> and ${{inputs.<name>}}
  Origin origin;     // of the name
  // Inputs only: `lr: 0.1`, a value and no data.  An input with neither this nor a path has no
  // value.
  std::optional<Setting<std::string>> literal = {};
  // As written: "datastore://store/digits", "./digits", "azureml:digits:1".  Without one an output
  // stays in the run directory.
  Setting<std::optional<std::string>> path = {};
  Setting<DataMode> mode{DataMode::kMount, {}};
  Setting<DataType> type{DataType::kFolder, {}};
  Setting<bool> read_only{true, {}};                         // inputs only
  Setting<std::optional<std::string>> path_on_compute = {};  // a further name of it
  Setting<std::optional<std::string>> environment_variable =
      {};                              // a further variable with its path
  Setting<bool> overwrite{false, {}};  // outputs only
};

// The packages of the program.  Versions and options are pip's or conda's words, as written.
struct PythonPackages {
  Setting<bool> user_managed{false, {}};  // the interpreter is used as it is
  // The packages that the interpreter has are seen in the environment that is made from it.
  Setting<bool> system_site_packages{true, {}};
  std::vector<Setting<std::string>> pip_packages = {};
  Setting<std::optional<std::string>> pip_requirements_file = {};
  std::vector<Setting<std::string>> pip_options = {};
  std::vector<Setting<std::string>> conda_channels = {};
  std::vector<Setting<std::string>> conda_packages = {};
  Setting<std::optional<std::string>> conda_file = {};
  Setting<CondaBy> conda_packages_by{CondaBy::kConda, {}};
};

// Processes by role, in total.  The ranks are the workers, then the parameter servers.
struct TensorflowRoles {
  Setting<int> worker_count{1, {}};
  Setting<int> parameter_server_count{0, {}};
};

// What may be copied of source_directory.  Azure ML took 300 MB and 2000 files; a copy on the same
// node may be larger, but beyond these a data set or an environment was forgotten in it.
struct SourceLimits {
  Setting<std::int64_t> limit_bytes{std::int64_t{2} << 30, {}};
  Setting<int> limit_files{20'000, {}};
};

using Milliseconds = std::chrono::milliseconds;

struct Limits {
  Setting<std::optional<std::chrono::seconds>> max_run_duration;  // max_run_duration_seconds
  Setting<Milliseconds> join_timeout{Milliseconds(600'000), {}};
  // Silence of a node after which it is given up.
  Setting<Milliseconds> node_lost_after{Milliseconds(35'000), {}};
  Setting<Milliseconds> stop_grace_period{Milliseconds(30'000), {}};
  Setting<Milliseconds> failure_grace_period{Milliseconds(3'000), {}};
  Setting<Milliseconds> drain_timeout{Milliseconds(60'000), {}};
  // From a stop that comes from outside to the launcher's own end: bounds the grace, the drain and
  // the outputs together.  nullopt: no bound; a default becomes 10 s for PID 1 (plan).
  Setting<std::optional<Milliseconds>> stop_budget;
  Setting<Milliseconds> mount_timeout{Milliseconds(60'000), {}};    // until a mount can be read
  Setting<Milliseconds> unmount_timeout{Milliseconds(30'000), {}};  // then it is detached lazily
  // A download or upload that moves no byte for so long has failed.
  Setting<Milliseconds> transfer_stall_timeout{Milliseconds(300'000), {}};
};

// What becomes of new output when there is no room for it: the oldest goes, or ranks wait.
enum class WhenFull { kDropOldest, kBlock };

// Where a copy of the run goes while it goes on, and how much of what it has not got is kept.
struct Streams {
  Setting<std::optional<std::string>> collector = {};  // an address, as written
  // Of the stored streams, together.  nullopt: no bound; a default becomes 8g with a collector
  // (plan).
  Setting<std::optional<std::int64_t>> max_size = {};
  Setting<WhenFull> when_full{WhenFull::kDropOldest, {}};
  Setting<Milliseconds> stall_budget{Milliseconds(60'000), {}};  // how long ranks wait, at most
};

// ./outputs and ./logs on their way into the run directory.
struct Results {
  Setting<bool> live{true, {}};                     // while ranks run, else at the end
  Setting<std::optional<std::int64_t>> max_size{};  // bytes of all of them; nullopt: no limit
};

// What one local rank gets, word for word; empty fields are chosen as for any other rank.
struct RankMapEntry {
  Origin origin{};
  std::optional<Setting<std::string>> cpus = {};          // Linux list of OS indexes: "0-3,8"
  std::optional<Setting<std::vector<int>>> gpus = {};     // visible ordinals; may be empty: none
  std::optional<Setting<std::string>> memory_nodes = {};  // Linux list of OS indexes
  std::optional<Setting<std::vector<std::string>>> nics = {};
};

// OMP_NUM_THREADS of a rank: its cores, left alone, or a number.
struct ThreadCount {
  enum class Kind { kAuto, kKeep, kNumber };
  Kind kind = Kind::kAuto;
  int number = 0;
};

enum class ThreadVariables { kOmp, kAll };  // all: also MKL, OpenBLAS and NumExpr
enum class OmpBinding { kNone, kClose, kSpread };

struct Resources {
  Setting<std::optional<int>> gpus_per_process;   // nullopt: auto
  Setting<std::optional<int>> cores_per_process;  // nullopt: auto
  Setting<int> reserve_cores{0, {}};              // of a node, left to others
  Setting<GpuAssignment> gpu_assignment{GpuAssignment::kBlock, {}};
  Setting<GpuVisibility> gpu_visibility{GpuVisibility::kAll, {}};
  Setting<CoreLayout> layout{CoreLayout::kBest, {}};
  Setting<MemoryPolicy> memory_policy{MemoryPolicy::kPreferred, {}};
  Setting<Binder> binding{Binder::kAgent, {}};
  Setting<NicVisibility> nic_visibility{NicVisibility::kAll, {}};
  Setting<ThreadCount> threads;
  Setting<ThreadVariables> thread_variables{ThreadVariables::kOmp, {}};
  Setting<OmpBinding> omp_binding{OmpBinding::kNone, {}};
  Setting<bool> lease{true, {}};       // cores and GPUs are leased from other runs of the node
  std::vector<RankMapEntry> rank_map;  // by local rank; empty, or one for each
  Setting<Oversubscribe> oversubscribe{Oversubscribe::kAllow, {}};
  Setting<std::optional<std::string>> shm_size;  // as written: "2g"
};

// Numbers in what ranks print that are metrics: a preset, or a name and an expression with a group.
struct MetricPattern {
  std::string preset;
  std::string name;
  std::string regex;
  Origin origin{};
};

struct Metrics {
  // Between two looks at how the node fares; nullopt: nobody looks.
  Setting<std::optional<Milliseconds>> node_interval{Milliseconds(10'000), {}};
};

// Of runs on several nodes.
struct Network {
  std::vector<Setting<std::string>> interfaces = {};  // networks or names; empty: they are found
};

struct RunConfig {
  // Defined in one place, because each file that has one would hold hundreds of lines of them.
  RunConfig();
  RunConfig(const RunConfig&);
  RunConfig(RunConfig&&) noexcept;
  RunConfig& operator=(const RunConfig&);
  RunConfig& operator=(RunConfig&&) noexcept;
  ~RunConfig();

  Setting<std::optional<std::string>> source_directory;  // as written; relative to config_directory
  Setting<bool> in_place{false, {}};  // ranks run in source_directory itself, not in a copy
  SourceLimits source;
  Results results;
  Setting<WhatToRun> run;
  std::vector<Setting<ScriptParam>> script_params;
  std::vector<Setting<std::string>> arguments;  // words of the script, after script_params
  std::vector<std::string> extra_arguments;     // what stood after `--` on the command line

  Setting<int> node_count{1, {}};
  Setting<std::optional<int>> process_count_per_node{1, {}};  // nullopt: auto
  Setting<Backend> distributed_backend{Backend::kNone, {}};
  Setting<MpiIdentity> mpi_identity{MpiIdentity::kMpirun, {}};

  std::vector<std::pair<std::string, Setting<std::string>>> environment_variables;  // in file order
  Setting<std::string> python_interpreter{"python3", {}};
  PythonPackages python;
  Setting<std::optional<std::string>> image;  // recorded, and compared with the container we are in

  std::optional<TensorflowRoles> tensorflow;  // nullopt: every rank is the same
  std::vector<DataBinding> inputs;            // in file order
  std::vector<DataBinding> outputs;

  Resources resources;
  Limits limits;
  std::vector<MetricPattern> metric_patterns;
  Streams streams;
  Metrics metrics;
  Network network;

  std::string dialect;  // "Azure ML v1 run configuration (2019 to 2020)"; "" for the native form
  std::string dialect_reason;   // "it has script and framework"; "" for the native form
  std::vector<Remark> remarks;  // in file order

  std::string file_name;         // as the user gave it; "" for the form without a file
  std::string config_directory;  // absolute; relative paths in the config start here
};

// "mpi" for Backend::kMpi.
std::string to_string(Backend backend);

// script_params as words, arguments, then extra_arguments: what follows the script on its command
// line.
std::vector<std::string> script_arguments(const RunConfig& config);

}  // namespace muster::config
