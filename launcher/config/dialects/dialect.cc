#include "launcher/config/dialects/dialect.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>
#include <span>
#include <utility>

#include "base/text.h"
#include "launcher/config/dialects/words.h"

namespace muster::config {
namespace {

using Words = std::span<const std::string_view>;

constexpr std::array<std::pair<std::string_view, Dialect>, 5> kWords{
    {{"native", Dialect::kNative},
     {"v1", Dialect::kRunConfiguration},
     {"workbench", Dialect::kWorkbench},
     {"v2", Dialect::kCommandJob},
     {"batchai", Dialect::kBatchAi}}};

// Keys, as spelling_free() leaves them, that one dialect alone has on its top level.
constexpr std::array kWorkbenchMarks{
    std::string_view("argumentvector"), std::string_view("trackedrun"),
    std::string_view("usesampling"), std::string_view("sparkdependenciesfile"),
    std::string_view("condadependenciesfile")};
constexpr std::array kBatchAiMarks{std::string_view("custommpisettings"),
                                   std::string_view("horovodsettings"),
                                   std::string_view("chainersettings"),
                                   std::string_view("cntksettings"),
                                   std::string_view("pytorchsettings"),
                                   std::string_view("tensorflowsettings"),
                                   std::string_view("caffe2settings"),
                                   std::string_view("customtoolkitsettings"),
                                   std::string_view("stdouterrpathprefix"),
                                   std::string_view("inputdirectories"),
                                   std::string_view("outputdirectories"),
                                   std::string_view("mountvolumes"),
                                   std::string_view("containersettings"),
                                   std::string_view("jobpreparation"),
                                   std::string_view("joboutputdirectorypathsegment")};
constexpr std::array kRunConfigurationMarks{std::string_view("script"),
                                            std::string_view("framework"),
                                            std::string_view("communicator"),
                                            std::string_view("target"),
                                            std::string_view("datareferences"),
                                            std::string_view("history"),
                                            std::string_view("mpi"),
                                            std::string_view("pytorch"),
                                            std::string_view("paralleltask"),
                                            std::string_view("autoprepareenvironment"),
                                            std::string_view("prepareenvironment"),
                                            std::string_view("amlcompute"),
                                            std::string_view("outputdata"),
                                            std::string_view("sourcedirectorydatastore"),
                                            std::string_view("containerinstance"),
                                            std::string_view("batchai"),
                                            std::string_view("hdi"),
                                            std::string_view("spark"),
                                            std::string_view("maxrundurationseconds"),
                                            std::string_view("datacaches")};
constexpr std::array kCommandJobMarks{
    std::string_view("$schema"),       std::string_view("type"),
    std::string_view("compute"),       std::string_view("code"),
    std::string_view("distribution"),  std::string_view("experimentname"),
    std::string_view("displayname"),   std::string_view("component"),
    std::string_view("jobs"),          std::string_view("services"),
    std::string_view("queuesettings"), std::string_view("identity"),
    std::string_view("jobtype"),       std::string_view("codeid"),
    std::string_view("environmentid"), std::string_view("computeid")};
// Exactly as written: native keys have one spelling.
constexpr std::array kNativeMarks{std::string_view("entry_script"),
                                  std::string_view("script_params"),
                                  std::string_view("process_count_per_node"),
                                  std::string_view("distributed_backend"),
                                  std::string_view("source_directory"),
                                  std::string_view("restarts"),
                                  std::string_view("metrics"),
                                  std::string_view("in_place")};

const Entry* entry_of(const Node& mapping, std::string_view name) {
  for (const Entry& entry : mapping.entries) {
    if (spelling_free(entry.key) == name) return &entry;
  }
  return nullptr;
}

bool has(const Node& mapping, std::string_view name) {
  return entry_of(mapping, name) != nullptr;
}

// The mapping below a key; null when there is none.
const Node* below(const Node& mapping, std::string_view name) {
  const Entry* entry = entry_of(mapping, name);
  return entry != nullptr && entry->value->kind == Node::Kind::kMapping ? entry->value.get()
                                                                        : nullptr;
}

// The keys of the file, as it spells them, that are among the marks.
std::vector<std::string> marks_of(const Node& root, Words marks, bool exact = false) {
  std::vector<std::string> found;
  for (const Entry& entry : root.entries) {
    const std::string key = exact ? entry.key : spelling_free(entry.key);
    if (std::find(marks.begin(), marks.end(), key) != marks.end()) found.push_back(entry.key);
  }
  return found;
}

std::string why_of(std::vector<std::string> keys) {
  constexpr std::size_t kMost = 3;
  if (keys.size() > kMost) keys.resize(kMost);
  if (keys.size() < 2) return keys.empty() ? "" : "it has " + printable(keys.front());
  const std::string last = printable(keys.back());
  keys.pop_back();
  for (std::string& key : keys) key = printable(key);
  return "it has " + join(keys, ", ") + " and " + last;
}

std::string schema_of(const Node& root) {
  const Entry* entry = entry_of(root, "$schema");
  return entry == nullptr ? "" : lower(entry->value->text);
}

bool any_of(const Node& mapping, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return has(mapping, name); });
}

// Which of the SDK's releases wrote a run configuration, by the newest key that it has.
std::string_view years_of(const Node& root) {
  const Node none;
  const Node* environment = below(root, "environment");
  if (environment == nullptr) environment = &none;
  const Node* docker = below(*environment, "docker");
  if (docker == nullptr) docker = &none;
  const Node* mpi = below(root, "mpi");
  if ((mpi != nullptr && has(*mpi, "nodecount")) || has(*docker, "platform") ||
      any_of(root, {"paralleltask", "outputdata", "command", "docker", "pytorch", "priority",
                    "datacaches", "kubernetescompute", "credentialpassthrough",
                    "environmentvariables", "applicationendpoints"})) {
    return "since late 2020";
  }
  const Node* history = below(root, "history");
  if (any_of(*environment, {"name", "version", "inferencingstackversion"}) ||
      any_of(*docker, {"basedockerfile"}) || has(root, "data") ||
      (history != nullptr && has(*history, "directoriestowatch"))) {
    return "mid 2019 to 2020";
  }
  if (any_of(root, {"communicator", "nodecount", "autoprepareenvironment", "amlcompute"})) {
    return "December 2018 to mid 2019";
  }
  if (any_of(root, {"batchai", "prepareenvironment"})) return "autumn 2018";
  return "";
}

std::string name_of(Dialect dialect, const Node& root) {
  switch (dialect) {
    case Dialect::kNative: return "";
    case Dialect::kWorkbench: return "Azure ML Workbench run configuration (2017 to mid 2018)";
    case Dialect::kCommandJob: return "Azure ML v2 command job";
    case Dialect::kBatchAi: return "Batch AI job";
    case Dialect::kRunConfiguration: break;
  }
  if (below(root, "configuration") != nullptr) return "Azure ML v1 run definition of the service";
  const std::string_view years = years_of(root);
  const std::string name = "Azure ML v1 run configuration";
  return years.empty() ? name : name + " (" + std::string(years) + ")";
}

Recognised found(Dialect dialect, const Node& root, std::string why) {
  return {dialect, name_of(dialect, root), std::move(why)};
}

bool is_typed_input(const Node& root) {
  for (const char* group : {"inputs", "outputs"}) {
    const Node* mapping = below(root, group);
    if (mapping == nullptr) continue;
    for (const Entry& entry : mapping->entries) {
      const Entry* type = entry_of(*entry.value, "type");
      const std::string text = type == nullptr ? "" : lower(type->value->text);
      if (text.starts_with("uri_") || text.ends_with("_model") || text == "mltable") return true;
    }
  }
  return false;
}

// What only v2 has below keys that native configs have, too.
std::string inner_mark_of_v2(const Node& root) {
  if (const Node* resources = below(root, "resources")) {
    if (has(*resources, "instancecount")) return "resources.instance_count";
    if (has(*resources, "instancetype")) return "resources.instance_type";
  }
  if (const Node* limits = below(root, "limits"); limits != nullptr && has(*limits, "timeout")) {
    return "limits.timeout";
  }
  const Entry* environment = entry_of(root, "environment");
  if (environment != nullptr && environment->value->text.starts_with("azureml:")) {
    return "environment: azureml:…";
  }
  if (is_typed_input(root)) return "inputs or outputs of type uri_folder or its kin";
  return "";
}

}  // namespace

std::string spelling_free(std::string_view key) {
  std::string plain;
  for (const char c : key) {
    if (c != '_') plain += c;
  }
  return lower(std::move(plain));
}

Recognised recognise(const Node& root) {
  const std::string schema = schema_of(root);
  if (schema.find("batchai") != std::string::npos) {
    return found(Dialect::kBatchAi, root, "its $schema says so");
  }
  if (!schema.empty()) return found(Dialect::kCommandJob, root, "it has $schema");
  if (auto marks = marks_of(root, kNativeMarks, true); !marks.empty()) return {};
  const Node* properties = below(root, "properties");
  for (const Node* each : {&root, properties}) {
    if (each == nullptr) continue;
    if (auto marks = marks_of(*each, kBatchAiMarks); !marks.empty()) {
      return found(Dialect::kBatchAi, root, why_of(std::move(marks)));
    }
  }
  if (properties != nullptr && has(*properties, "jobtype")) {
    return found(Dialect::kCommandJob, root, "it has properties.jobType");
  }
  if (below(root, "configuration") != nullptr) {
    return found(Dialect::kRunConfiguration, root, "it has configuration");
  }
  auto workbench = marks_of(root, kWorkbenchMarks);
  if (!workbench.empty() && !has(root, "environment")) {
    return found(Dialect::kWorkbench, root, why_of(std::move(workbench)));
  }
  auto v1 = marks_of(root, kRunConfigurationMarks);
  auto v2 = marks_of(root, kCommandJobMarks);
  if (!v1.empty() && v1.size() >= v2.size()) {
    return found(Dialect::kRunConfiguration, root, why_of(std::move(v1)));
  }
  if (!v2.empty()) return found(Dialect::kCommandJob, root, why_of(std::move(v2)));
  if (std::string mark = inner_mark_of_v2(root); !mark.empty()) {
    return found(Dialect::kCommandJob, root, "it has " + mark);
  }
  // Written by hand, with nothing but counts or variables.
  for (const Entry& entry : root.entries) {
    if (entry.key == "environment_variables") {
      return found(Dialect::kCommandJob, root, "it has environment_variables");
    }
    if (entry.key == "nodeCount" || entry.key == "NodeCount" ||
        entry.key == "environmentVariables" || entry.key == "EnvironmentVariables") {
      return found(Dialect::kRunConfiguration, root, "it has " + entry.key);
    }
  }
  return {};
}

// Of Azure ML's schemas: commandJob, pipelineJob, commandComponent; and not environment, data,
// compute, workspace, model, endpoint and the like.
bool is_schema_of_work(const std::string& schema) {
  const std::string name = lower(schema.substr(schema.rfind('/') + 1));
  return name.find("job") != std::string::npos || name.find("component") != std::string::npos ||
         name.find("runconfig") != std::string::npos;
}

// Of a text that cannot be read: whether it was meant to be a run config.
bool speaks_of_a_run(std::string_view text) {
  constexpr std::array<std::string_view, 12> kSigns{
      "commandJob.schema.json", "\ntype: command", "entry_script:",   "distributed_backend:",
      "communicator",           "MpiSettings",     "horovodSettings", "tensorFlowSettings",
      "pyTorchSettings",        "chainerSettings", "cntkSettings",    "customToolkitSettings"};
  return std::any_of(kSigns.begin(), kSigns.end(), [&](std::string_view sign) {
    return text.find(sign) != std::string_view::npos;
  });
}

bool is_run_config(const Node& root) {
  const auto has_word = [&](std::string_view key, std::string_view word) {
    const Entry* entry = entry_of(root, key);
    return entry != nullptr && lower(entry->value->text) == word;
  };
  const std::string schema = schema_of(root);
  if (schema.find("batchai") != std::string::npos) return true;
  if (schema.find("azureml") != std::string::npos) return is_schema_of_work(schema);
  // Of continuous integration: a list of commands.
  if (const Entry* script = entry_of(root, "script");
      script != nullptr && script->value->kind == Node::Kind::kList) {
    return false;
  }
  switch (recognise(root).dialect) {
    case Dialect::kNative: {
      const auto marks = marks_of(root, kNativeMarks, true);
      return has(root, "entryscript") || (has(root, "command") && !marks.empty());
    }
    case Dialect::kRunConfiguration:
      return below(root, "configuration") != nullptr
                 ? !marks_of(*below(root, "configuration"), kRunConfigurationMarks).empty()
                 : (has(root, "script") || has(root, "command")) &&
                       (has(root, "environment") ||
                        marks_of(root, kRunConfigurationMarks).size() > 1);
    case Dialect::kWorkbench:
    case Dialect::kBatchAi: return true;
    case Dialect::kCommandJob:
      return has_word("type", "command") || has_word("type", "pipeline") || has(root, "jobtype") ||
             (below(root, "properties") != nullptr && has(*below(root, "properties"), "jobtype")) ||
             (has(root, "command") && !marks_of(root, kCommandJobMarks).empty());
  }
  return false;
}

FirstLook look_at(std::string_view text) {
  const SourceText source(text, "");
  const Document document = read_document(source);
  if (document.root == nullptr) return {speaks_of_a_run(text), "(cannot be read)"};
  if (document.root->kind != Node::Kind::kMapping) return {};
  return {is_run_config(*document.root), recognise(*document.root).name};
}

Recognised forced(Dialect dialect, const Node& root) {
  if (dialect == Dialect::kNative) return {};
  return found(dialect, root, "--dialect says so");
}

std::optional<Dialect> dialect_of_word(std::string_view word) {
  for (const auto& [name, dialect] : kWords) {
    if (name == word) return dialect;
  }
  return std::nullopt;
}

std::vector<std::string> dialect_words() {
  std::vector<std::string> words;
  for (const auto& [name, dialect] : kWords) words.emplace_back(name);
  return words;
}

}  // namespace muster::config
