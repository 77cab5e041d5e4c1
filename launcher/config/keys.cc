// How each key is read and shown.
//
// A reader takes one value, from the file or from a flag, and either changes the config or adds a
// problem; it never stops the reading.  The keys whose feature this version lacks are in the table
// too (their readers are in fields.cc), so that a misspelt one is not taken for a missing one.

#include "launcher/config/keys.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "launcher/config/fields.h"

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
  if (!text || refuse_reference(value, draft, *text)) return;
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
  for (const std::string& word : *words) {
    if (refuse_reference(value, draft, word)) return;
  }
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
    if (!written || refuse_reference(value, draft, *written)) return;
    text = *written;
  }
  draft.config.environment_variables.emplace_back(name, Setting<std::string>{text, value.origin});
}

void read_process_count(const Value& value, Draft& draft) {
  read_into(draft.config.process_count_per_node, value, draft, count_or_auto_from<1>);
}

void read_backend(const Value& value, Draft& draft) {
  draft.backend_given = true;
  read_into(draft.config.distributed_backend, value, draft, parse_backend);
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

Shown shown(const std::string& text) {
  return text;
}

Shown shown(int number) {
  return std::int64_t{number};
}

Shown shown(const std::optional<int>& count) {
  return count ? shown(*count) : Shown("auto");
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
constexpr std::string_view kPackages = "write a list of packages, for example [numpy, torch]";

// In the order in which `muster validate` and docs/config.md show them.
constexpr std::array kKeys{
    Key{"source_directory", "write the path of a directory", read_source_directory, nullptr,
        show_setting<&RunConfig::source_directory>},
    Key{"entry_script", "write the path of a script, for example train.py", read_entry_script,
        nullptr, show_entry_script},
    Key{"command", "write a command for the shell, for example \"python3 train.py --lr 0.1\"",
        read_command, nullptr, show_command},
    Key{"script_params", "write names with values, for example {--lr: 0.1, --verbose: }",
        read_entries, read_script_param, show_script_params},
    Key{"node_count", "write a whole number of nodes, 1 or more", read_node_count, nullptr,
        show_setting<&RunConfig::node_count>},
    Key{"process_count_per_node", "write a whole number of processes, 1 or more, or auto",
        read_process_count, nullptr, show_setting<&RunConfig::process_count_per_node>},
    Key{"distributed_backend",
        "write mpi (Open MPI), direct (torch-style, no MPI) or none (one process)", read_backend,
        nullptr, show_setting<&RunConfig::distributed_backend>},
    Key{"environment.variables", "write names with values, for example {OMP_NUM_THREADS: 4}",
        read_entries, read_variable, show_variables},
    Key{"environment.python.interpreter", "write a Python, for example python3 or /usr/bin/python3",
        read_interpreter, nullptr, show_setting<&RunConfig::python_interpreter>},
    Key{"environment.python.pip_packages", kPackages, read_packages, nullptr, nullptr},
    Key{"environment.python.conda_packages", kPackages, read_packages, nullptr, nullptr},
    Key{"inputs", "write names with values", read_inputs, refuse_input, nullptr},
    Key{"outputs", "write names with values", read_outputs, refuse_output, nullptr},
    Key{"resources.gpus_per_process", "write a whole number of GPUs, 0 or more, or auto",
        read_gpus_per_process, nullptr, show_resource<&Resources::gpus_per_process>},
    Key{"resources.cores_per_process", "write a whole number of cores, 1 or more, or auto",
        read_resource<&Resources::cores_per_process, count_or_auto_from<1>>, nullptr,
        show_resource<&Resources::cores_per_process>},
    Key{"resources.oversubscribe", "write allow or never",
        read_resource<&Resources::oversubscribe, parse_oversubscribe>, nullptr,
        show_resource<&Resources::oversubscribe>},
    Key{"resources.shm_size", "write a size such as 512m or 2g", read_shm_size, nullptr, nullptr},
    Key{"limits.max_run_duration_seconds",
        "write a whole number of seconds, 1 or more; leave it out for no limit",
        read_limit<&Limits::max_run_duration, parse_run_duration>, nullptr,
        show_limit<&Limits::max_run_duration>},
    Key{"limits.join_timeout", kDuration,
        read_limit<&Limits::join_timeout, parse_positive_duration>, nullptr,
        show_limit<&Limits::join_timeout>},
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
    Key{"restarts.max_restarts", "write a whole number, 0 or more", read_max_restarts, nullptr,
        nullptr},
    Key{"metrics.patterns", "write a list", read_patterns, nullptr, nullptr},
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
  problems.push_back(problem_at(value.origin, value.path, why, std::move(hint)));
}

Value value_of(const Entry& entry, const Key* key, const std::string& path, Draft& draft) {
  if (const auto flag = draft.flags.find(path); flag != draft.flags.end()) {
    flag->second.used = true;
    flag->second.origin.replaced.push_back(
        {draft.source->origin(entry.value_place).text, in_short(*entry.value)});
    return {key, path, &flag->second.node, flag->second.origin, flag->second.origin};
  }
  return {key, path, entry.value.get(), draft.source->origin(entry.value_place),
          draft.source->origin(entry.key_place)};
}

}  // namespace muster::config
