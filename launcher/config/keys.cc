// How each key is read and shown.
//
// A reader takes one value, from the file or from a flag, and either changes the config or adds a
// problem; it never stops the reading.  The keys whose feature this version lacks are in the table
// too (their readers are in fields.cc), so that a misspelt one is not taken for a missing one.

#include "launcher/config/keys.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/credentials.h"
#include "base/ip_network.h"
#include "base/text.h"
#include "launcher/config/fields.h"
#include "launcher/config/metric_patterns.h"
#include "launcher/config/rank_map.h"

namespace muster::config {
namespace {

using Rows = std::vector<Row>;

std::string entry_name(const Value& value) {
  return value.path.substr(value.key->path.size() + 1);
}

// For "run.yaml:7:25 says 2".
std::string in_short(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kScalar: return node.text;
    case Node::Kind::kNull: return "nothing";
    case Node::Kind::kList: return "a list";
    case Node::Kind::kMapping: return "names with values";
  }
  return {};
}

void read_entries(const Value& value, Draft& draft) {
  if (value.node->kind == Node::Kind::kNull) return;
  if (value.node->kind != Node::Kind::kMapping) {
    draft.refuse(value, "it takes names with values", std::string(value.key->expected));
    return;
  }
  for (const Entry& entry : value.node->entries) {
    const std::string path = value.path + "." + entry.key;
    value.key->read_entry(value_of(entry, value.key, path, draft), draft);
  }
}

void read_source_directory(const Value& value, Draft& draft) {
  auto path = parsed(value, draft, parse_text);
  if (path) draft.config.source_directory = {std::move(*path), value.origin};
}

void read_entry_script(const Value& value, Draft& draft) {
  draft.what_to_run.emplace_back(value.path, value.origin);
  auto path = parsed(value, draft, parse_text);
  if (path) draft.config.run = {EntryScript{std::move(*path)}, value.origin};
}

void read_command(const Value& value, Draft& draft) {
  draft.what_to_run.emplace_back(value.path, value.origin);
  auto text = parsed(value, draft, parse_text);
  if (!text) return;
  note_references(value, draft, *text);
  draft.config.run = {ShellCommand{std::move(*text)}, value.origin};
}

// A null is a bare flag, a list gives several words.
std::optional<std::vector<std::string>> script_param_words(const Value& value, Draft& draft) {
  const Node& node = *value.node;
  if (node.kind == Node::Kind::kScalar) return std::vector{node.text};
  if (node.kind == Node::Kind::kNull) return std::vector<std::string>{};
  std::vector<std::string> words;
  for (const NodePtr& item : node.items) {
    if (item->kind == Node::Kind::kScalar) words.push_back(item->text);
  }
  if (!words.empty() && words.size() == node.items.size()) return words;
  draft.refuse(value, "it takes a value or a list of values",
               "write one value, a list such as [1, 2], or nothing for a bare flag");
  return std::nullopt;
}

void read_script_param(const Value& value, Draft& draft) {
  auto words = script_param_words(value, draft);
  if (!words) return;
  for (const std::string& word : *words) note_references(value, draft, word);
  ScriptParam param{entry_name(value), std::nullopt};
  if (!words->empty()) {
    param.value = std::move(words->front());
    param.more_values.assign(std::next(words->begin()), words->end());
  }
  draft.config.script_params.push_back({std::move(param), value.origin});
}

void read_variable(const Value& value, Draft& draft) {
  const std::string name = entry_name(value);
  if (Unfit unfit = check_variable_name(name); !unfit.why.empty()) {
    refuse_name(value, draft, value.key->path, unfit.why, unfit.hint);
    return;
  }
  std::string text;
  if (value.node->kind != Node::Kind::kNull) {
    const auto written = scalar_text(value, draft);
    if (!written) return;
    note_references(value, draft, *written);
    text = *written;
  }
  // What no network has; a run that leases the port itself looks at the rest.
  const auto port = name == "MASTER_PORT" ? parse_integer(text) : std::nullopt;
  if (port && (*port < 0 || *port > 65535)) {
    draft.problems.push_back(
        {ErrorCode::kConfig, "MASTER_PORT is not a port: " + in_quotes(text),
         "write a number from 1 to 65535, or leave it out: each run gets a free port of its own",
         value.origin.location});
  }
  draft.config.environment_variables.emplace_back(name, Setting<std::string>{text, value.origin});
}

void read_arguments(const Value& value, Draft& draft) {
  auto words = word_list(value, draft);
  if (!words) return;
  for (const auto& word : *words) note_references(value, draft, word.value);
  draft.config.arguments = std::move(*words);
}

void read_node_count(const Value& value, Draft& draft) {
  read_into(draft.config.node_count, value, draft, count_from<1>);
}

template <auto kMember, auto kParse>
void read_setting(const Value& value, Draft& draft) {
  read_into(draft.config.*kMember, value, draft, kParse);
}

// A text that may be left out; null is as if it were.
template <typename T>
void read_optional_text(T& setting, const Value& value, Draft& draft) {
  if (value.node->kind == Node::Kind::kNull) return;
  if (auto text = parsed(value, draft, parse_text)) setting = {std::move(*text), value.origin};
}

void read_image(const Value& value, Draft& draft) {
  read_optional_text(draft.config.image, value, draft);
}

template <auto kMember>
void read_python_text(const Value& value, Draft& draft) {
  read_optional_text(draft.config.python.*kMember, value, draft);
}

template <auto kMember>
void read_python_words(const Value& value, Draft& draft) {
  if (auto words = word_list(value, draft)) draft.config.python.*kMember = std::move(*words);
}

template <auto kMember, auto kParse>
void read_metrics(const Value& value, Draft& draft) {
  read_into(draft.config.metrics.*kMember, value, draft, kParse);
}

template <auto kMember, auto kParse>
void read_python(const Value& value, Draft& draft) {
  read_into(draft.config.python.*kMember, value, draft, kParse);
}

template <auto kMember, auto kParse>
void read_source_limit(const Value& value, Draft& draft) {
  read_into(draft.config.source.*kMember, value, draft, kParse);
}

template <auto kMember, auto kParse>
void read_results(const Value& value, Draft& draft) {
  read_into(draft.config.results.*kMember, value, draft, kParse);
}

template <auto kMember, auto kParse>
void read_role(const Value& value, Draft& draft) {
  if (!draft.config.tensorflow) draft.config.tensorflow.emplace();
  read_into((*draft.config.tensorflow).*kMember, value, draft, kParse);
}

void read_shm_size(const Value& value, Draft& draft) {
  if (value.node->kind == Node::Kind::kNull) return;
  if (auto size = parsed(value, draft, parse_size)) {
    draft.config.resources.shm_size = {std::move(*size), value.origin};
  }
}

void read_process_count(const Value& value, Draft& draft) {
  read_into(draft.config.process_count_per_node, value, draft, count_or_auto_from<1>);
}

void read_backend(const Value& value, Draft& draft) {
  draft.backend_given = true;
  read_into(draft.config.distributed_backend, value, draft, parse_backend);
}

void read_mpi_identity(const Value& value, Draft& draft) {
  read_into(draft.config.mpi_identity, value, draft, parse_mpi_identity);
}

void read_interpreter(const Value& value, Draft& draft) {
  read_into(draft.config.python_interpreter, value, draft, parse_text);
}

template <auto kMember, auto kParse>
void read_resource(const Value& value, Draft& draft) {
  read_into(draft.config.resources.*kMember, value, draft, kParse);
}

template <auto kMember, auto kParse>
void read_limit(const Value& value, Draft& draft) {
  read_into(draft.config.limits.*kMember, value, draft, kParse);
}

// The state of every node is looked at each second, and it is suspect after three.
Parsed<Milliseconds> parse_lost_after(std::string_view text) {
  auto read = parse_positive_duration(text);
  if (read && *read < Milliseconds(4'000)) {
    return tl::unexpected(Unfit{"a node is suspect after 3 s of silence, and lost later",
                                "write a duration of 4s or more"});
  }
  return read;
}

// Also "eth0,eth1", as --set and other launchers' options have it.
void read_interfaces(const Value& value, Draft& draft) {
  const auto words = word_list(value, draft);
  if (!words) return;
  std::vector<Setting<std::string>> all;
  for (const auto& listed : *words) {
    for (const std::string& text : split(listed.value, ',')) {
      if (!parse_ip_network(text) && (text.empty() || text.find_first_of("/: ") != text.npos)) {
        draft.refuse(value, in_quotes(text) + " is neither a network nor an interface",
                     std::string(value.key->expected));
        return;
      }
      all.push_back({text, listed.origin});
    }
  }
  draft.config.network.interfaces = std::move(all);
}

template <auto kMember, auto kParse>
void read_streams(const Value& value, Draft& draft) {
  read_into(draft.config.streams.*kMember, value, draft, kParse);
}

Parsed<std::optional<std::string>> some_text(std::string_view text) {
  return parse_text(text).map([](std::string read) { return std::optional(std::move(read)); });
}

Parsed<int> file_count(std::string_view text) {
  return parse_whole(text, 1, kMostFiles);
}

Shown shown(const std::string& text) {
  return text;
}

Shown shown(std::int64_t number) {
  return number;
}

Shown shown(bool value) {
  return value ? "true" : "false";
}

Shown shown(int number) {
  return std::int64_t{number};
}

Shown shown(const std::optional<int>& count) {
  return count ? shown(*count) : Shown("auto");
}

Shown shown(const std::optional<std::int64_t>& bound) {
  return bound ? shown(*bound) : "none";
}

Shown shown(const std::optional<std::string>& text) {
  return text ? Shown(*text) : Shown();
}

Shown shown(const std::optional<std::chrono::seconds>& duration) {
  return duration ? Shown(std::int64_t{duration->count()}) : Shown();
}

Shown shown(Milliseconds duration) {
  return duration_text(duration);
}

Shown shown(const std::optional<Milliseconds>& budget) {
  return budget ? shown(*budget) : Shown();
}

template <typename E, std::size_t N>
Shown shown_name(E value, const std::array<std::pair<std::string_view, E>, N>& names) {
  for (const auto& [name, each] : names) {
    if (each == value) return std::string(name);
  }
  return {};
}

Shown shown(Backend backend) {
  return shown_name(backend, kBackendNames);
}

Shown shown(Oversubscribe oversubscribe) {
  return shown_name(oversubscribe, kOversubscribeNames);
}

Shown shown(GpuAssignment value) {
  return shown_name(value, kGpuAssignmentNames);
}

Shown shown(GpuVisibility value) {
  return shown_name(value, kGpuVisibilityNames);
}

Shown shown(CoreLayout value) {
  return shown_name(value, kLayoutNames);
}

Shown shown(MemoryPolicy value) {
  return shown_name(value, kMemoryPolicyNames);
}

Shown shown(Binder value) {
  return shown_name(value, kBinderNames);
}

Shown shown(NicVisibility value) {
  return shown_name(value, kNicVisibilityNames);
}

Shown shown(ThreadVariables value) {
  return shown_name(value, kThreadVariablesNames);
}

Shown shown(OmpBinding value) {
  return shown_name(value, kOmpBindingNames);
}

Shown shown(ThreadCount count) {
  if (count.kind == ThreadCount::Kind::kNumber) return shown(count.number);
  return count.kind == ThreadCount::Kind::kAuto ? "auto" : "keep";
}

Shown shown(WhenFull value) {
  return shown_name(value, kWhenFullNames);
}

Shown shown(CondaBy by) {
  return shown_name(by, kCondaByNames);
}

Shown shown(MpiIdentity identity) {
  return shown_name(identity, kMpiIdentityNames);
}

template <auto kMember>
void show_setting(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& setting = config.*kMember;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

template <auto kMember>
void show_resource(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& setting = config.resources.*kMember;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

template <auto kMember>
void show_limit(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& setting = config.limits.*kMember;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

void show_node_lost_after(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& setting = config.limits.node_lost_after;
  if (config.node_count.value == 1 && setting.origin.kind == Origin::Kind::kDefault) return;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

void show_interfaces(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& words = config.network.interfaces;
  if (words.empty()) return;
  std::vector<std::string> texts;
  for (const auto& word : words) texts.push_back(word.value);
  rows.push_back({std::string(key.path), join(texts, ", "), words.front().origin});
}

template <auto kMember>
void show_source_limit(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& setting = config.source.*kMember;
  if (!config.source_directory.value && setting.origin.kind == Origin::Kind::kDefault) return;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

template <auto kMember>
void show_role(const Key& key, const RunConfig& config, Rows& rows) {
  if (!config.tensorflow) return;
  const auto& setting = (*config.tensorflow).*kMember;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

void add_words(const Key& key, const std::vector<Setting<std::string>>& words, Rows& rows) {
  if (words.empty()) return;
  std::vector<std::string> texts;
  for (const auto& word : words) texts.push_back(without_credentials(word.value));
  rows.push_back({std::string(key.path), std::move(texts), words.front().origin});
}

void show_arguments(const Key& key, const RunConfig& config, Rows& rows) {
  add_words(key, config.arguments, rows);
}

template <auto kMember>
void show_python_words(const Key& key, const RunConfig& config, Rows& rows) {
  add_words(key, config.python.*kMember, rows);
}

// What few configs say is left out where it was not said.
template <typename T>
void add_if_given(const Key& key, const Setting<T>& setting, Rows& rows) {
  if (setting.origin.kind == Origin::Kind::kDefault) return;
  rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
}

template <auto kMember>
void show_if_given(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.*kMember, rows);
}

template <auto kMember>
void show_python_if_given(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.python.*kMember, rows);
}

template <auto kMember>
void show_resource_if_given(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.resources.*kMember, rows);
}

template <auto kMember>
void show_results_if_given(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.results.*kMember, rows);
}

template <auto kMember>
void show_metrics_if_given(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.metrics.*kMember, rows);
}

void show_shm_size(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.resources.shm_size, rows);
}

template <auto kMember>
void show_streams_if_given(const Key& key, const RunConfig& config, Rows& rows) {
  add_if_given(key, config.streams.*kMember, rows);
}

// Of no interest to a run without data.
template <auto kMember>
void show_data_limit(const Key& key, const RunConfig& config, Rows& rows) {
  const auto& setting = config.limits.*kMember;
  const bool has_data = !config.inputs.empty() || !config.outputs.empty();
  if (has_data || setting.origin.kind != Origin::Kind::kDefault) {
    rows.push_back({std::string(key.path), shown(setting.value), setting.origin});
  }
}

void show_entry_script(const Key& key, const RunConfig& config, Rows& rows) {
  const auto* script = std::get_if<EntryScript>(&config.run.value);
  if (script == nullptr) return;
  rows.push_back({std::string(key.path), script->path.empty() ? Shown() : Shown(script->path),
                  config.run.origin});
}

void show_command(const Key& key, const RunConfig& config, Rows& rows) {
  const auto* command = std::get_if<ShellCommand>(&config.run.value);
  if (command != nullptr) rows.push_back({std::string(key.path), command->text, config.run.origin});
}

Shown shown(const ScriptParam& param) {
  if (param.more_values.empty()) return shown(param.value);
  std::vector<std::string> values{*param.value};
  values.insert(values.end(), param.more_values.begin(), param.more_values.end());
  return values;
}

void show_script_params(const Key& key, const RunConfig& config, Rows& rows) {
  for (const auto& [param, origin] : config.script_params) {
    rows.push_back({std::string(key.path) + "." + param.name, shown(param), origin});
  }
}

void show_variables(const Key& key, const RunConfig& config, Rows& rows) {
  for (const auto& [name, setting] : config.environment_variables) {
    rows.push_back({std::string(key.path) + "." + name, setting.value, setting.origin});
  }
}

constexpr std::string_view kDuration = "write a duration such as 500ms, 30s, 2m or 1h";
constexpr std::string_view kTrueFalse = "write true or false";
constexpr std::string_view kDataNames =
    "write names with where their data is, for example {digits: {path: /data/digits}}";
constexpr std::string_view kPackages = "write a list of packages, for example [numpy, torch]";

// In the order in which `muster validate` and docs/config.md show them.
constexpr std::array kKeys{
    Key{"source_directory", "write the path of a directory", read_source_directory, nullptr,
        show_setting<&RunConfig::source_directory>},
    Key{"in_place", kTrueFalse, read_setting<&RunConfig::in_place, parse_bool>, nullptr,
        show_if_given<&RunConfig::in_place>},
    Key{"source.limit_bytes", "write a size such as 300m or 2g",
        read_source_limit<&SourceLimits::limit_bytes, parse_byte_count>, nullptr,
        show_source_limit<&SourceLimits::limit_bytes>},
    Key{"source.limit_files", "write a whole number of files, 1 or more",
        read_source_limit<&SourceLimits::limit_files, file_count>, nullptr,
        show_source_limit<&SourceLimits::limit_files>},
    Key{"entry_script", "write the path of a script, for example train.py", read_entry_script,
        nullptr, show_entry_script},
    Key{"command", "write a command for the shell, for example \"python3 train.py --lr 0.1\"",
        read_command, nullptr, show_command},
    Key{"script_params", "write names with values, for example {--lr: 0.1, --verbose: }",
        read_entries, read_script_param, show_script_params},
    Key{"arguments", "write a list of words, for example [--lr, 0.1]", read_arguments, nullptr,
        show_arguments},
    Key{"node_count", "write a whole number of nodes, 1 or more", read_node_count, nullptr,
        show_setting<&RunConfig::node_count>},
    Key{"process_count_per_node", "write a whole number of processes, 1 or more, or auto",
        read_process_count, nullptr, show_setting<&RunConfig::process_count_per_node>},
    Key{"distributed_backend",
        "write mpi (Open MPI), direct (torch-style, no MPI) or none (one process)", read_backend,
        nullptr, show_setting<&RunConfig::distributed_backend>},
    Key{"mpi_identity", "write mpirun or emulate", read_mpi_identity, nullptr,
        show_setting<&RunConfig::mpi_identity>},
    Key{"environment.variables", "write names with values, for example {OMP_NUM_THREADS: 4}",
        read_entries, read_variable, show_variables},
    Key{"environment.python.interpreter", "write a Python, for example python3 or /usr/bin/python3",
        read_interpreter, nullptr, show_setting<&RunConfig::python_interpreter>},
    Key{"environment.python.user_managed", kTrueFalse,
        read_python<&PythonPackages::user_managed, parse_bool>, nullptr,
        show_python_if_given<&PythonPackages::user_managed>},
    Key{"environment.python.system_site_packages", kTrueFalse,
        read_python<&PythonPackages::system_site_packages, parse_bool>, nullptr,
        show_python_if_given<&PythonPackages::system_site_packages>},
    Key{"environment.python.pip_packages", kPackages,
        read_python_words<&PythonPackages::pip_packages>, nullptr,
        show_python_words<&PythonPackages::pip_packages>},
    Key{"environment.python.pip_requirements_file",
        "write the path of a file, for example requirements.txt",
        read_python_text<&PythonPackages::pip_requirements_file>, nullptr,
        show_python_if_given<&PythonPackages::pip_requirements_file>},
    Key{"environment.python.pip_options",
        "write a list of words for pip, for example [--find-links, ./wheels]",
        read_python_words<&PythonPackages::pip_options>, nullptr,
        show_python_words<&PythonPackages::pip_options>},
    Key{"environment.python.conda_channels", "write a list of channels, for example [conda-forge]",
        read_python_words<&PythonPackages::conda_channels>, nullptr,
        show_python_words<&PythonPackages::conda_channels>},
    Key{"environment.python.conda_packages", kPackages,
        read_python_words<&PythonPackages::conda_packages>, nullptr,
        show_python_words<&PythonPackages::conda_packages>},
    Key{"environment.python.conda_file", "write the path of a file, for example environment.yml",
        read_python_text<&PythonPackages::conda_file>, nullptr,
        show_python_if_given<&PythonPackages::conda_file>},
    Key{"environment.python.conda_packages_by", "write conda, or pip to take the names from PyPI",
        read_python<&PythonPackages::conda_packages_by, parse_conda_by>, nullptr,
        show_python_if_given<&PythonPackages::conda_packages_by>},
    Key{"environment.image", "write the name of an image", read_image, nullptr,
        show_if_given<&RunConfig::image>},
    Key{"tensorflow.worker_count", "write a whole number of workers, 1 or more",
        read_role<&TensorflowRoles::worker_count, count_from<1>>, nullptr,
        show_role<&TensorflowRoles::worker_count>},
    Key{"tensorflow.parameter_server_count", "write a whole number of parameter servers, 0 or more",
        read_role<&TensorflowRoles::parameter_server_count, count_from<0>>, nullptr,
        show_role<&TensorflowRoles::parameter_server_count>},
    Key{"inputs", kDataNames, read_inputs, read_input, show_inputs},
    Key{"outputs", kDataNames, read_outputs, read_output, show_outputs},
    Key{"resources.gpus_per_process", "write a whole number of GPUs, 0 or more, or auto",
        read_resource<&Resources::gpus_per_process, count_or_auto_from<0>>, nullptr,
        show_resource<&Resources::gpus_per_process>},
    Key{"resources.cores_per_process", "write a whole number of cores, 1 or more, or auto",
        read_resource<&Resources::cores_per_process, count_or_auto_from<1>>, nullptr,
        show_resource<&Resources::cores_per_process>},
    Key{"resources.oversubscribe", "write allow or never",
        read_resource<&Resources::oversubscribe, parse_oversubscribe>, nullptr,
        show_resource<&Resources::oversubscribe>},
    Key{"resources.reserve_cores", "write a whole number of cores, 0 or more",
        read_resource<&Resources::reserve_cores, count_from<0>>, nullptr,
        show_resource_if_given<&Resources::reserve_cores>},
    Key{"resources.gpu_assignment", "write block, ordinal or spread",
        read_resource<&Resources::gpu_assignment, parse_gpu_assignment>, nullptr,
        show_resource_if_given<&Resources::gpu_assignment>},
    Key{"resources.gpu_visibility", "write all or own",
        read_resource<&Resources::gpu_visibility, parse_gpu_visibility>, nullptr,
        show_resource_if_given<&Resources::gpu_visibility>},
    Key{"resources.layout", "write best, strict, balanced or spill",
        read_resource<&Resources::layout, parse_layout>, nullptr,
        show_resource_if_given<&Resources::layout>},
    Key{"resources.memory_policy", "write preferred, strict, interleave or none",
        read_resource<&Resources::memory_policy, parse_memory_policy>, nullptr,
        show_resource_if_given<&Resources::memory_policy>},
    Key{"resources.binding", "write agent, rankfile or none",
        read_resource<&Resources::binding, parse_binder>, nullptr,
        show_resource_if_given<&Resources::binding>},
    Key{"resources.nic_visibility", "write all or own",
        read_resource<&Resources::nic_visibility, parse_nic_visibility>, nullptr,
        show_resource_if_given<&Resources::nic_visibility>},
    Key{"resources.threads", "write auto, keep or a whole number of threads, 1 or more",
        read_resource<&Resources::threads, parse_thread_count>, nullptr,
        show_resource_if_given<&Resources::threads>},
    Key{"resources.thread_variables", "write omp or all",
        read_resource<&Resources::thread_variables, parse_thread_variables>, nullptr,
        show_resource_if_given<&Resources::thread_variables>},
    Key{"resources.omp_binding", "write none, close or spread",
        read_resource<&Resources::omp_binding, parse_omp_binding>, nullptr,
        show_resource_if_given<&Resources::omp_binding>},
    Key{"resources.lease", kTrueFalse, read_resource<&Resources::lease, parse_bool>, nullptr,
        show_resource_if_given<&Resources::lease>},
    Key{"resources.rank_map",
        "write a list with an entry for each local rank, for example [{cpus: 0-3, gpus: [0]}]",
        read_rank_map, nullptr, show_rank_map},
    Key{"resources.shm_size", "write a size such as 512m or 2g", read_shm_size, nullptr,
        show_shm_size},
    Key{"limits.max_run_duration_seconds",
        "write a whole number of seconds, 1 or more; leave it out for no limit",
        read_limit<&Limits::max_run_duration, parse_run_duration>, nullptr,
        show_limit<&Limits::max_run_duration>},
    Key{"limits.join_timeout", kDuration,
        read_limit<&Limits::join_timeout, parse_positive_duration>, nullptr,
        show_limit<&Limits::join_timeout>},
    Key{"limits.node_lost_after", kDuration, read_limit<&Limits::node_lost_after, parse_lost_after>,
        nullptr, show_node_lost_after},
    Key{"limits.stop_grace_period", kDuration,
        read_limit<&Limits::stop_grace_period, parse_duration>, nullptr,
        show_limit<&Limits::stop_grace_period>},
    Key{"limits.failure_grace_period", kDuration,
        read_limit<&Limits::failure_grace_period, parse_duration>, nullptr,
        show_limit<&Limits::failure_grace_period>},
    Key{"limits.drain_timeout", kDuration, read_limit<&Limits::drain_timeout, parse_duration>,
        nullptr, show_limit<&Limits::drain_timeout>},
    Key{"limits.stop_budget", "write a duration such as 10s, or none",
        read_limit<&Limits::stop_budget, parse_budget>, nullptr, show_limit<&Limits::stop_budget>},
    Key{"limits.mount_timeout", kDuration,
        read_limit<&Limits::mount_timeout, parse_positive_duration>, nullptr,
        show_data_limit<&Limits::mount_timeout>},
    Key{"limits.unmount_timeout", kDuration,
        read_limit<&Limits::unmount_timeout, parse_positive_duration>, nullptr,
        show_data_limit<&Limits::unmount_timeout>},
    Key{"limits.transfer_stall_timeout", kDuration,
        read_limit<&Limits::transfer_stall_timeout, parse_positive_duration>, nullptr,
        show_data_limit<&Limits::transfer_stall_timeout>},
    Key{"network.interfaces",
        "write a list of networks or interfaces, for example [10.0.0.0/24, eth1]", read_interfaces,
        nullptr, show_interfaces},
    Key{"streams.collector", "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT",
        read_streams<&Streams::collector, some_text>, nullptr,
        show_streams_if_given<&Streams::collector>},
    Key{"streams.max_size", "write a size such as 512m or 8g, or none",
        read_streams<&Streams::max_size, parse_bound>, nullptr,
        show_streams_if_given<&Streams::max_size>},
    Key{"streams.when_full", "write drop_oldest or block",
        read_streams<&Streams::when_full, parse_when_full>, nullptr,
        show_streams_if_given<&Streams::when_full>},
    Key{"streams.stall_budget", kDuration, read_streams<&Streams::stall_budget, parse_duration>,
        nullptr, show_streams_if_given<&Streams::stall_budget>},
    Key{"results.live", kTrueFalse, read_results<&Results::live, parse_bool>, nullptr,
        show_results_if_given<&Results::live>},
    Key{"results.max_size", "write a size such as 500m or 20g, or none",
        read_results<&Results::max_size, parse_bound>, nullptr,
        show_results_if_given<&Results::max_size>},
    Key{"restarts.max_restarts", "write a whole number, 0 or more", read_max_restarts, nullptr,
        nullptr},
    Key{"metrics.node_interval", "write a duration such as 10s, or none",
        read_metrics<&Metrics::node_interval, parse_interval>, nullptr,
        show_metrics_if_given<&Metrics::node_interval>},
    Key{"metrics.patterns",
        "write a list of patterns, for example [{name: loss, regex: 'loss=([0-9.]+)'}]",
        read_metric_patterns, nullptr, show_metric_patterns},
};

}  // namespace

std::span<const Key> keys() {
  return kKeys;
}

const Key* find_key(std::string_view path) {
  const auto* found =
      std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& key) { return key.path == path; });
  return found == kKeys.end() ? nullptr : found;
}

std::vector<std::string> keys_below(std::string_view group) {
  std::vector<std::string> words;
  const std::string prefix = group.empty() ? "" : std::string(group) + ".";
  for (const Key& key : kKeys) {
    if (!key.path.starts_with(prefix)) continue;
    const std::string_view rest = key.path.substr(prefix.size());
    std::string word(rest.substr(0, rest.find('.')));
    if (std::find(words.begin(), words.end(), word) == words.end())
      words.push_back(std::move(word));
  }
  return words;
}

void Draft::refuse(const Value& value, std::string_view why, std::string hint) {
  problems.push_back(problem_at(value.origin, value.shown_path(), why, std::move(hint)));
}

Value value_of(const Entry& entry, const Key* key, const std::string& path, Draft& draft) {
  Origin origin = draft.source->origin(entry);
  if (const auto flag = draft.flags.find(path); flag != draft.flags.end()) {
    flag->second.used = true;
    flag->second.origin.replaced.push_back({std::move(origin.text), in_short(*entry.value)});
    return {key, path, &flag->second.node, flag->second.origin, flag->second.origin};
  }
  const bool written = entry.value_place.line != 0;
  Origin key_origin =
      written ? (entry.source ? *entry.source : *draft.source).origin(entry.key_place) : origin;
  return {key, path, entry.value.get(), std::move(origin), std::move(key_origin), entry.written_as};
}

}  // namespace muster::config
