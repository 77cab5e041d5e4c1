// Azure ML v1: .runconfig files in YAML and JSON since late 2018, and the run definition that the
// service takes and exports.  The generations differ in which keys they have, not in what a key
// means, so one reader takes them all.

#include "launcher/config/dialects/run_configuration.h"

#include <algorithm>

#include "base/text.h"
#include "launcher/config/dialects/translators.h"
#include "launcher/config/dialects/words.h"
#include "launcher/config/expressions.h"

namespace muster::config {
namespace v1 {

Project::Project(const Translation& to) : directory_(to.config_directory()) {
  const std::size_t slash = directory_.rfind('/');
  if (slash == std::string::npos) return;
  const std::string last = directory_.substr(slash + 1);
  if (last != ".azureml" && last != "aml_config") return;
  folder_ = last;
  directory_ = slash == 0 ? "/" : directory_.substr(0, slash);
}

std::string Project::beside(const std::string& path) const {
  return is_above() && !path.starts_with('/') ? "../" + path : path;
}

std::string Project::from_project(const std::string& path, const Translation& to) const {
  if (!is_above() || path.starts_with('/')) return path;
  const bool only_beside_config = !to.read_beside(beside(path)) && to.read_beside(path);
  return only_beside_config ? folder_ + "/" + path : path;
}

std::string posix_path(std::string path) {
  if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '\\', '/');
  return path;
}

bool is_none(const Given& value) {
  return value.is_null() || (value.is_scalar() && lower(value.text()) == "none");
}

std::optional<std::string> named_text(Translation& to, Fields& fields, std::string_view name) {
  const auto value = fields.take_value(name);
  if (!value || is_none(*value)) return std::nullopt;
  auto text = to.text_of(*value);
  return text && !text->empty() ? text : std::nullopt;
}

namespace {

// What arguments name: "DatasetConsumptionConfig:x" is the input x, "DatasetOutputConfig:x" the
// output.  All other text is text in v1, "${{x}}" too.
class ArgumentTexts {
 public:
  ArgumentTexts(Fields& top, Translation& to) : to_(to) {
    for (const std::string_view group : {"dataReferences", "data", "outputData"}) {
      const auto given = top.take_value(group);
      if (!given) continue;
      for (const Given& entry : given->entries()) names_.push_back(entry.key);
    }
  }

  std::string of(const Given& item) const {
    const std::string& text = item.text();
    if (auto input = reference(item, "DatasetConsumptionConfig:", "inputs", kInputs)) return *input;
    if (auto output = reference(item, "DatasetOutputConfig:", "outputs", kOutputs)) return *output;
    return without_references(text);
  }

 private:
  static constexpr std::string_view kInputs = "add it below data or dataReferences";
  static constexpr std::string_view kOutputs = "add it below outputData";

  std::optional<std::string> reference(const Given& item, std::string_view prefix,
                                       const std::string& group, std::string_view otherwise) const {
    if (!item.text().starts_with(prefix)) return std::nullopt;
    const std::string name = item.text().substr(prefix.size());
    if (std::find(names_.begin(), names_.end(), name) != names_.end()) {
      return "${{" + group + "." + name + "}}";
    }
    const std::string hint = did_you_mean_hint(name, names_);
    to_.refuse(item, "there is no data " + in_quotes(name),
               hint.empty() ? std::string(otherwise) : hint);
    return "";
  }

  Translation& to_;
  std::vector<std::string> names_;
};

void translate_arguments(const Given& arguments, const ArgumentTexts& texts, Translation& to) {
  if (!arguments.is_list()) {
    to.refuse(arguments, "it takes a list", "write a list of words, for example [--lr, 0.1]");
    return;
  }
  for (const Given& item : arguments.items()) {
    if (item.is_scalar()) {
      to.append("arguments", arguments, texts.of(item));
    } else if (item.is_null()) {
      to.warn(item, "it has no value, and is left out");
    } else {
      to.refuse(item, "an argument is one word, not a list or a mapping",
                "write each word as an item of its own");
    }
  }
}

// The words of a command that the API writes as a list.
std::string command_text(const Given& command, const ArgumentTexts& texts, Translation& to) {
  std::vector<std::string> words;
  for (const Given& item : command.items()) {
    if (item.is_scalar()) {
      words.push_back(texts.of(item));
    } else {
      to.refuse(item, "a part of a command is a text", "write the command as one text");
    }
  }
  return join(words, " ");
}

bool is_interpreter(const std::string& command) {
  const std::string name = command.substr(command.rfind('/') + 1);
  return command.find(' ') == std::string::npos &&
         (name == "python" || name == "python3" || name.starts_with("python3."));
}

void translate_script(Fields& top, Translation& to) {
  auto script = top.take_value("script");
  auto command = top.take_value("command");
  const auto arguments = top.take_value("arguments");
  const ArgumentTexts texts(top, to);
  if (script && script->is_scalar() && script->text().empty()) script.reset();
  if (command && (command->is_list() ? command->node->items.empty()
                                     : command->is_scalar() && command->text().empty())) {
    command.reset();
  }
  if (script || command) to.says_what_to_run();
  // "command: python" beside a script is met: it names what runs the script.
  if (script && command && command->is_scalar() && is_interpreter(command->text())) {
    to.warn(*command, "the script is run by the environment's Python, and this is taken as that");
    command.reset();
  }
  if (script && command) {
    to.refuse_key(*command, "script is given too, and a run has one of them",
                  "keep the command and empty the script, or the other way round");
    return;
  }
  const bool some = arguments && !(arguments->is_list() && arguments->node->items.empty());
  if (command) {
    if (command->is_list()) {
      to.set("command", *command, command_text(*command, texts, to), "its parts, joined by blanks");
    } else if (command->is_scalar()) {
      to.set("command", *command, texts.of(*command));
    } else {
      to.refuse(*command, "it takes a text", "write the command as one text");
    }
    if (some) {
      to.refuse_key(*arguments, "arguments go with a script, and this run has a command",
                    "write them into the command");
    }
    return;
  }
  if (script) {
    const auto text = to.text_of(*script);
    if (text && text->ends_with(".ipynb")) {
      to.refuse(*script, "a notebook is no script",
                "make one of it: jupyter nbconvert --to script " + shell_quoted(printable(*text)));
    } else if (text) {
      const std::string path = posix_path(*text);
      to.set("entry_script", *script, path, path == *text ? "" : "with slashes");
    }
  }
  if (some) translate_arguments(*arguments, texts, to);
}

void translate_limits(Fields& top, Translation& to) {
  const auto seconds = top.take_value("maxRunDurationSeconds");
  if (seconds && !is_none(*seconds)) to.set("limits.max_run_duration_seconds", *seconds);
}

void translate_history(Fields& top, Translation& to) {
  auto history = top.take_group("history");
  if (!history) return;
  const auto kept = history->take_value("outputCollection");
  if (kept && to.flag_of(*kept) == false) {
    to.elsewhere(*kept, "outputs are taken into the run directory all the same");
  }
  if (const auto watched = history->take_value("directoriesToWatch"); watched) {
    for (const Given& item : watched->items()) {
      std::string name = lower(item.text());
      if (name.starts_with("./")) name = name.substr(2);
      if (name.ends_with("/")) name.pop_back();
      if (name == "logs" || name == "outputs" || name.empty()) continue;
      to.elsewhere(item, printable(item.text()) +
                             " is not watched; ./outputs and ./logs are taken into the run "
                             "directory");
    }
  }
  history->pass({"snapshotProject", "enableMLflowTracking", "ambientAuthentication"});
  history->finish();
}

// Compute that is somebody else's business: one line each when the config asks for some.
void translate_compute(Fields& top, Translation& to) {
  if (const auto target = top.take_value("target"); target && !is_none(*target)) {
    const auto text = to.text_of(*target);
    if (text && !text->empty() && lower(*text) != "local") {
      to.elsewhere(*target, "Muster runs where it is started, and looks for no compute target");
    }
  }
  const auto told_when_set = [&](Fields& fields, std::string_view name, const char* text) {
    const auto value = fields.take_value(name);
    if (!value || is_none(*value)) return;
    const bool empty =
        value->is_scalar()
            ? value->text().empty() || value->text() == "false" || value->text() == "False"
            : value->node->items.empty() && value->node->entries.empty();
    if (!empty) to.elsewhere(*value, text);
  };
  if (auto machines = top.take_group("amlcompute")) {
    told_when_set(*machines, "vmSize", "Muster creates no machines");
    machines->pass({"vmPriority", "retainCluster", "name", "clusterMaxNodeCount", "location"});
    machines->finish();
  }
  if (auto kubernetes = top.take_group("kubernetescompute")) {
    told_when_set(*kubernetes, "instanceType", "Muster creates no pods");
    kubernetes->finish();
  }
  told_when_set(top, "priority", "a scheduler's business");
  told_when_set(top, "sourceDirectoryDataStore",
                "the code is copied from the project's directory, not through a datastore");
  told_when_set(top, "datacaches", "Muster has its own cache of downloads");
  told_when_set(top, "credentialPassthrough", "data is read with the datastore's credentials");
  told_when_set(top, "applicationEndpoints", "Muster starts no services beside the run");
  top.pass({"containerInstance", "autoPrepareEnvironment", "prepareEnvironment", "jobName", "hdi",
            "exposedPorts", "databricks", "r", "id", "useAbsolutePath",
            "autoClusterComputeSpecification", "instanceTypes", "maxNodeCount", "identity",
            "aiSuperComputer", "cmk8sCompute", "parameters", "$schema", "type"});
  if (auto codes = top.take_group("commandReturnCodeConfig")) {
    const auto good = codes->take_value("successfulReturnCodes");
    if (good && good->is_list() && !good->node->items.empty()) {
      to.warn(*good, "0 alone is success here");
    }
    codes->pass({"returnCode"});
  }
}

void translate_configuration(Fields& top, const Project& project, Translation& to) {
  translate_script(top, to);
  translate_launch(top, to);
  translate_environment(top, project, to);
  translate_data(top, to);
  translate_limits(top, to);
  translate_history(top, to);
  translate_compute(top, to);
  top.finish();
}

}  // namespace
}  // namespace v1

void translate_run_configuration(const NodePtr& root, Translation& to) {
  const v1::Project project(to);
  to.count_paths_from(project.directory());
  to.derive("source_directory", ".",
            project.is_above() ? "the project that holds " + project.folder()
                               : "the directory of the config, of which Azure ML takes a snapshot");
  Fields top(to, to.whole(root));
  auto body = top.take_group("configuration");
  if (!body) {
    v1::translate_configuration(top, project, to);
    return;
  }
  // What the service is sent: the configuration in an envelope of ids.
  v1::translate_configuration(*body, project, to);
  top.pass({"snapshotId", "parentRunId", "runType", "runId", "experimentName", "attribution",
            "telemetryValues", "displayName", "description", "properties", "tags", "cluster"});
  top.finish();
}

}  // namespace muster::config
