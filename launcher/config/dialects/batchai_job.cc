// A Batch AI job.json of 2018: the settings of one toolkit, and where its data is mounted.
//
// processCount is a total over all nodes.  A pythonScriptFilePath with its commandLineArgs becomes
// entry_script and arguments; where the script's own path has a variable, and where parameter
// servers get arguments of their own, a command for the shell.
#include <algorithm>
#include <array>
#include <map>

#include "launcher/config/dialects/batchai_paths.h"
#include "launcher/config/dialects/command_words.h"
#include "launcher/config/dialects/long_duration.h"
#include "launcher/config/dialects/translators.h"
#include "launcher/config/dialects/words.h"
#include "launcher/config/values.h"

namespace muster::config {
namespace {

struct Toolkit {
  std::string_view key;
  std::string_view backend;  // "": as its communicationBackend says
};

constexpr std::array<Toolkit, 9> kToolkits{{{"customMpiSettings", "mpi"},
                                            {"horovodSettings", "mpi"},
                                            {"chainerSettings", "mpi"},
                                            {"cntkSettings", "mpi"},
                                            {"caffeSettings", "mpi"},
                                            {"pyTorchSettings", ""},
                                            {"caffe2Settings", "direct"},
                                            {"tensorFlowSettings", "direct"},
                                            {"customToolkitSettings", "none"}}};

class BatchAiJob {
 public:
  BatchAiJob(Fields& job, Translation& to) : job_(job), to_(to), paths_(to) {}

  void translate() {
    job_.pass({"$schema", "type", "provisioning_state", "creation_time", "execution_info",
               "execution_state", "execution_state_transition_time", "experiment_name", "tool_type",
               "job_output_directory_path_segment", "provisioning_state_transition_time", "tags"});
    if (const auto nodes = job_.take_value("nodeCount")) {
      nodes_ = to_.count_of(*nodes, 1).value_or(1);
      to_.set("node_count", *nodes);
      nodes_given_ = nodes;
    }
    reserve_names();
    translate_toolkit();
    translate_directories("inputDirectories", "inputs");
    translate_directories("outputDirectories", "outputs");
    translate_variables();
    translate_secrets();
    translate_container();
    translate_limits();
    tell_the_rest();
  }

 private:
  // --- what runs ---

  void translate_toolkit() {
    std::optional<Given> first;
    for (const Toolkit& toolkit : kToolkits) {
      const auto given = job_.take_value(toolkit.key);
      if (!given) continue;
      if (first) {
        to_.refuse_key(*given, printable(first->key) + " is given too, and a job has one toolkit",
                       "keep one of the two");
        continue;
      }
      first = given;
      translate_settings(*given, toolkit);
    }
    to_.says_what_to_run();  // or why it cannot be
    if (!first) {
      to_.refuse_key(job_.given(), "the job has no toolkit",
                     "add customMpiSettings, horovodSettings or another of them");
    }
  }

  void translate_settings(const Given& settings, const Toolkit& toolkit) {
    if (!settings.is_mapping()) {
      to_.refuse(settings, "it is a group of keys");
      return;
    }
    Fields fields(to_, settings);
    if (toolkit.key == "customToolkitSettings") {
      translate_line(fields, settings, false);
      run_on_the_master_only();
    } else if (toolkit.key == "tensorFlowSettings") {
      translate_tensorflow(fields, settings);
    } else {
      set_backend(fields, settings, toolkit);
      if (toolkit.key == "customMpiSettings") {
        translate_line(fields, settings, true);
      } else {
        translate_script(fields, settings);
      }
      translate_process_count(fields);
    }
    fields.finish();
  }

  void set_backend(Fields& fields, const Given& settings, const Toolkit& toolkit) {
    std::string backend(toolkit.backend);
    Given at = settings;
    if (backend.empty()) {
      backend = "direct";
      if (const auto given = fields.take_value("communicationBackend")) {
        if (plain_word(given->text()) == "mpi") backend = "mpi";
        at = *given;
      }
    }
    to_.set("distributed_backend", at, backend, std::string(toolkit.key));
  }

  // How many processes the options of a commandLine's own mpirun ask for.
  struct Processes {
    long total;
    Given at;
    std::string options;  // "-np 4 of mpirun"
  };

  void count_by_mpirun(const Given& line, const MpirunLine& mpirun, bool warn) {
    const auto total = mpirun_count(line, mpirun.total);
    const auto per_node = mpirun_count(line, mpirun.per_node);
    const auto written = [](const MpirunLine::Count& count) {
      return printable(count.option) + " of mpirun";
    };
    const long by_node = per_node ? 1L * *per_node * nodes_ : 0;
    if (total) {
      of_mpirun_ = {*total, line, written(*mpirun.total)};
    } else if (per_node) {
      of_mpirun_ = {by_node, line, written(*mpirun.per_node)};
    }
    if (warn && total && per_node && by_node != *total) {
      to_.warn(line, written(*mpirun.per_node) + " makes " + std::to_string(by_node) +
                         " processes on nodeCount " + std::to_string(nodes_) + ", and " +
                         written(*mpirun.total) + " counts");
    }
  }

  // nullopt: no such option, or no number, which is then said.
  std::optional<int> mpirun_count(const Given& line,
                                  const std::optional<MpirunLine::Count>& count) {
    if (!count) return std::nullopt;
    if (auto number = parse_count(count->number, 1)) return *number;
    to_.warn(line, printable(count->option) +
                       " of mpirun is no number that Muster knows, and does not count: "
                       "processCount says how many processes there are");
    return std::nullopt;
  }

  void translate_process_count(Fields& fields) {
    const auto given = fields.take_value("processCount");
    if (!given && of_mpirun_) {
      share(of_mpirun_->at, of_mpirun_->total, of_mpirun_->options);
      return;
    }
    if (!given) {
      to_.derive("process_count_per_node", "1", "no processCount: one process on each node");
      return;
    }
    const auto total = to_.count_of(*given, 1);
    if (!total) return;
    if (of_mpirun_ && of_mpirun_->total != *total) {
      to_.warn(of_mpirun_->at, of_mpirun_->options + " asks for " +
                                   std::to_string(of_mpirun_->total) +
                                   " processes, and processCount on line " +
                                   std::to_string(given->value_place.line) + ", which is " +
                                   std::to_string(*total) + ", counts");
    }
    share(*given, *total, std::to_string(*total) + " in total");
  }

  void share(const Given& from, long total, const std::string& note) {
    if (total % nodes_ != 0) {
      to_.refuse(from,
                 std::to_string(total) + " processes in total cannot be shared equally by " +
                     std::to_string(nodes_) + " nodes",
                 "make it a multiple of nodeCount");
      return;
    }
    to_.set("process_count_per_node", from, std::to_string(total / nodes_),
            note + ", over nodeCount " + std::to_string(nodes_));
  }

  void run_on_the_master_only() {
    if (nodes_ == 1 || !nodes_given_) return;
    to_.set(
        "node_count", *nodes_given_, "1",
        "customToolkitSettings run on the master only, of " + std::to_string(nodes_) + " nodes");
  }

  // commandLine, for a shell.
  void translate_line(Fields& fields, const Given& settings, bool with_mpi) {
    const auto given = fields.take_value("commandLine");
    const auto line = given ? to_.text_of(*given) : std::nullopt;
    if (!line) {
      if (!given) to_.refuse_key(settings, "it has no commandLine");
      return;
    }
    std::string text = *line;
    const auto words = command_words(text);
    if (!words) {
      to_.refuse(*given, "a quote in it is never closed");
      return;
    }
    if (with_mpi && calls_mpirun(*words)) {
      const auto inner = rank_program(text, *words);
      if (!inner) {
        to_.refuse(
            *given,
            "it calls mpirun itself, and what the ranks run cannot be told apart: " + inner.error(),
            "write the program of one rank alone: muster calls mpirun");
        return;
      }
      to_.elsewhere(*given, "muster calls mpirun itself; the ranks run what it has as its program");
      for (const auto& [name, value] : inner->variables) {
        to_.set(NativeKey("environment.variables") / name, *given, value, "of mpirun's options");
      }
      count_by_mpirun(*given, *inner, !fields.has("processCount"));
      text = inner->program;
    }
    const std::string filled = paths_.with_inputs(*given, text);
    if (filled == *line) {
      to_.set("command", *given);
    } else {
      to_.set("command", *given, filled,
              filled == text ? "without its mpirun" : "volumes are inputs");
    }
  }

  // pythonScriptFilePath, pythonInterpreterPath and commandLineArgs.
  void translate_script(Fields& fields, const Given& settings) {
    const auto script = take_script(fields, settings);
    const auto interpreter = fields.take_value("pythonInterpreterPath");
    const auto line = fields.take_value("commandLineArgs");
    fields.pass({"languageType"});
    if (!script) return;
    if (script->text().find('$') != std::string::npos) {
      std::string command = program(*script, interpreter);
      for (const std::string& word : arguments(line)) command += " " + quoted_but_variables(word);
      to_.set("command", *script, command, "its script's path has a variable");
      return;
    }
    to_.set("entry_script", *script);
    if (interpreter) to_.set("environment.python.interpreter", *interpreter);
    for (const std::string& word : arguments(line)) to_.append("arguments", *line, word);
  }

  std::optional<Given> take_script(Fields& fields, const Given& settings) {
    auto script = fields.take_value("pythonScriptFilePath");
    if (script && to_.text_of(*script)) return script;
    if (const auto config = fields.take_value("configFilePath")) {
      to_.refuse(*config,
                 "Muster starts Python scripts and commands, and no BrainScript or Caffe "
                 "network",
                 "use customMpiSettings with the command that reads it");
    } else if (!script) {
      to_.refuse_key(settings, "it has no pythonScriptFilePath");
    }
    return std::nullopt;
  }

  std::vector<std::string> arguments(const std::optional<Given>& line) {
    std::vector<std::string> texts;
    const auto text = line ? to_.text_of(*line) : std::nullopt;
    if (!text) return texts;
    const auto words = command_words(paths_.with_inputs(*line, *text));
    if (!words) to_.refuse(*line, "a quote in it is never closed");
    for (const Word& word : words.value_or(std::vector<Word>())) texts.push_back(word.text);
    return texts;
  }

  // "python3 "$AZ_BATCHAI_INPUT_SCRIPTS/train.py"" for a shell.
  std::string program(const Given& script, const std::optional<Given>& interpreter) {
    const std::string python = interpreter ? interpreter->text() : "python3";
    return quoted_but_variables(paths_.with_inputs(script, python)) + " " +
           quoted_but_variables(paths_.with_inputs(script, script.text()));
  }

  // The first worker is the master.
  void translate_tensorflow(Fields& fields, const Given& settings) {
    const auto workers = fields.take_value("workerCount");
    const auto servers = fields.take_value("parameterServerCount");
    const auto master_line = fields.take_value("masterCommandLineArgs");
    const auto worker_line = fields.take_value("workerCommandLineArgs");
    const auto server_line = fields.take_value("parameterServerCommandLineArgs");
    const auto script = take_script(fields, settings);
    const auto interpreter = fields.take_value("pythonInterpreterPath");
    if (!script) return;
    const bool distributed = workers || servers || worker_line || server_line || nodes_ > 1;
    if (!distributed && script->text().find('$') == std::string::npos) {
      to_.set("entry_script", *script);
      if (interpreter) to_.set("environment.python.interpreter", *interpreter);
      for (const std::string& word : arguments(master_line)) {
        to_.append("arguments", *master_line, word);
      }
      return;
    }
    const auto command = [&](const std::optional<Given>& line) {
      std::string text = "exec " + program(*script, interpreter);
      for (const std::string& word : arguments(line)) text += " " + quoted_but_variables(word);
      return text;
    };
    if (!distributed) {
      to_.set("command", *script, command(master_line), "its script's path has a variable");
      return;
    }
    const int worker_count =
        role_count(workers, "worker_count", nodes_, "no workerCount: nodeCount");
    role_count(servers, "parameter_server_count", 1, "no parameterServerCount");
    to_.set("distributed_backend", settings, "direct", "tensorFlowSettings");
    to_.set("command", *script,
            "if [ \"$RANK\" = 0 ]; then " + command(master_line ? master_line : worker_line) +
                "; elif [ \"$RANK\" -lt " + std::to_string(worker_count) + " ]; then " +
                command(worker_line) + "; else " + command(server_line) + "; fi",
            "the arguments of master, workers and parameter servers");
  }

  int role_count(const std::optional<Given>& given, const char* role, int otherwise,
                 const std::string& why) {
    const NativeKey key = NativeKey("tensorflow") / role;
    if (!given) {
      to_.derive(key, std::to_string(otherwise), why);
      return otherwise;
    }
    to_.set(key, *given);
    return to_.count_of(*given, std::string_view(role) == "worker_count" ? 1 : 0)
        .value_or(otherwise);
  }

  // --- data ---

  using Seen = std::map<std::string, int>;  // names with their lines

  // Of two with one name only the later would be there.
  bool refuse_second(Seen& seen, const Given& name) {
    const auto [first, is_new] = seen.emplace(name.text(), name.value_place.line);
    if (is_new) return false;
    to_.refuse(
        name,
        in_quotes(name.text()) + " is the name of another on line " + std::to_string(first->second),
        "give each a name of its own");
    return true;
  }

  void reserve_names() {
    const auto given = job_.take_value("inputDirectories");
    if (!given || !given->is_list()) return;
    for (const Given& item : given->items()) {
      if (!item.is_mapping()) continue;
      for (const Given& field : item.entries()) {
        if (plain_word(field.key) == "id") paths_.reserve(field.text());
      }
    }
  }

  void translate_directories(std::string_view name, const char* group) {
    const auto given = job_.take_value(name);
    if (!given) return;
    if (!given->is_list()) {
      to_.refuse(*given, "it takes a list");
      return;
    }
    Seen seen;
    for (const Given& item : given->items()) translate_directory(item, group, seen);
  }

  void translate_directory(const Given& item, const std::string& group, Seen& seen) {
    if (!item.is_mapping()) {
      to_.refuse(item, "it is a group of keys");
      return;
    }
    Fields fields(to_, item);
    fields.pass({"type", "createNew"});
    const bool input = group == "inputs";
    const auto id = fields.take_value("id");
    const auto path = fields.take_value(input ? "path" : "pathPrefix");
    const auto suffix = input ? std::nullopt : fields.take_value("pathSuffix");
    if (!id || !path || !to_.text_of(*id) || !to_.text_of(*path)) {
      if (!id || !path)
        to_.refuse(item, input ? "it takes id and path" : "it takes id and pathPrefix");
      return;
    }
    const NativeKey key = NativeKey(group) / id->text();
    if (refuse_second(seen, *id)) return;
    to_.set_node(key, *id, Node{});
    std::string text = path->text();
    if (suffix && !suffix->text().empty()) text += "/" + suffix->text();
    if (const auto place = paths_.place_of(*path, text)) {
      to_.set(key / "path", *path, *place, *place == path->text() ? "" : printable(path->text()));
      to_.set(key / "mode", *path, "mount", "as Batch AI does");
    }
    if (!input) {
      to_.elsewhere(*path, "no directory of the job's own is made below it");
    }
    fields.finish();
  }

  // --- the rest ---

  // A list of {name, value}.
  template <typename One>
  void each_named(std::string_view name, One one) {
    const auto given = job_.take_value(name);
    if (!given) return;
    if (!given->is_list()) {
      to_.refuse(*given, "it takes a list of {name, value}");
      return;
    }
    Seen seen;
    for (const Given& item : given->items()) {
      if (!item.is_mapping()) {
        to_.refuse(item, "it takes {name, value}");
        continue;
      }
      Fields fields(to_, item);
      const auto variable = fields.take_value("name");
      if (!variable || !to_.text_of(*variable)) {
        if (!variable) to_.refuse(item, "it has no name");
        continue;
      }
      if (!refuse_second(seen, *variable)) one(fields, *variable);
      fields.finish();
    }
  }

  void translate_variables() {
    each_named("environmentVariables", [&](Fields& fields, const Given& name) {
      const NativeKey key = NativeKey("environment.variables") / name.text();
      if (const auto value = fields.take("value")) to_.set(key, *value);
    });
  }

  void translate_secrets() {
    each_named("secrets", [&](Fields& fields, const Given& name) {
      const auto vault = fields.take_value("valueSecretReference");
      const auto value = fields.take_value("value");
      if (vault) {
        to_.refuse(*vault,
                   printable(name.text()) + " is in a key vault, which Muster does not open",
                   "export it before the start: ranks inherit the environment of muster");
      } else if (value) {
        Given hidden = *value;  // without its line, which a message would show
        hidden.value_place = {};
        to_.refuse(hidden,
                   printable(name.text()) + " is a secret, and a run keeps a copy of its config",
                   "take it out, and export it before the start: ranks inherit the environment of "
                   "muster");
      }
    });
  }

  void translate_container() {
    auto container = job_.take_group("containerSettings");
    if (!container) return;
    if (const auto size = container->take_value("shmSize")) to_.set("resources.shm_size", *size);
    if (auto registry = container->take_group("imageSourceRegistry")) {
      const auto server = registry->take_value("serverUrl");
      if (const auto image = registry->take_value("image")) {
        const std::string prefix = server ? server->text() + "/" : "";
        to_.set("environment.image", *image, prefix + image->text());
      }
      if (const auto credentials = registry->take_value("credentials")) {
        to_.elsewhere(*credentials, "no image is fetched here");
      }
      registry->finish();
    }
    container->finish();
  }

  void translate_limits() {
    auto constraints = job_.take_group("constraints");
    if (!constraints) return;
    if (const auto time = constraints->take_value("maxWallClockTime")) {
      if (const auto seconds = parse_long_duration(time->text())) {
        to_.set("limits.max_run_duration_seconds", *time, std::to_string(*seconds),
                printable(time->text()));
      } else {
        to_.refuse(*time, in_quotes(time->text()) + " is not a duration",
                   "write P7D, PT1H30M or 1.00:00:00");
      }
    }
    constraints->finish();
  }

  // Volumes of every kind are below one root.
  void refuse_same_volumes(const Given& volumes) {
    Seen seen;
    for (const Given& kind : volumes.entries()) {
      for (const Given& volume : kind.items()) {
        for (const Given& field : volume.entries()) {
          if (plain_word(field.key) == "relativemountpath" && field.is_scalar()) {
            refuse_second(seen, field);
          }
        }
      }
    }
  }

  void tell_the_rest() {
    if (const auto volumes = job_.take_value("mountVolumes")) {
      refuse_same_volumes(*volumes);
      to_.elsewhere(*volumes,
                    "datastores.yaml says where a volume is: datastore://NAME for the one "
                    "with relativeMountPath NAME");
    }
    if (const auto preparation = job_.take_value("jobPreparation")) {
      to_.elsewhere(*preparation,
                    "it is not run: prepare the node beforehand, or begin the command "
                    "with it");
    }
    if (const auto prefix = job_.take_value("stdOutErrPathPrefix")) {
      to_.elsewhere(*prefix, "what the ranks print is stored in the run directory");
    }
    if (const auto cluster = job_.take_value("cluster")) {
      to_.elsewhere(*cluster, "the run is where Muster runs");
    }
    job_.pass({"schedulingPriority", "priority"});
    job_.finish();
  }

  Fields& job_;
  Translation& to_;
  BatchAiPaths paths_;
  int nodes_ = 1;
  std::optional<Given> nodes_given_;
  std::optional<Processes> of_mpirun_ = {};
};

}  // namespace

void translate_batchai_job(const NodePtr& root, Translation& to) {
  Fields whole(to, to.whole(root));
  auto properties = whole.take_group("properties");
  if (properties) {
    whole.pass({"$schema", "name", "id", "type", "location", "tags"});
    whole.finish();
  } else {
    whole.pass({"name", "id", "location"});
  }
  BatchAiJob(properties ? *properties : whole, to).translate();
}

}  // namespace muster::config
