// An Azure ML v2 command job: https://azuremlschemas.azureedge.net/…/commandJob.schema.json, and
// the two previews before it, which had other words for code, compute and inputs.
//
// Counts are per instance, unlike the totals of v1's pytorch block and of Batch AI.
#include <algorithm>
#include <array>

#include "launcher/config/dialects/command_job_data.h"
#include "launcher/config/dialects/long_duration.h"
#include "launcher/config/dialects/run_configuration.h"
#include "launcher/config/dialects/translators.h"
#include "launcher/config/dialects/words.h"
#include "launcher/config/expressions.h"

namespace muster::config {
namespace {

constexpr std::string_view kOneJob =
    "muster runs one job: write the command, code, inputs and environment of one of its steps into "
    "a "
    "file of its own";

// Whether the file is something else than a job, which is then said.
bool refuse_other_kinds(Fields& job, Translation& to) {
  const auto schema = job.take_value("$schema");
  const auto of_service = job.take_value("job_type");
  const auto own_type = job.take_value("type");
  const auto type = of_service ? of_service : own_type;
  const std::string schema_text = schema ? lower(schema->text()) : "";
  const std::string type_word = type ? plain_word(type->text()) : "";
  const auto is = [&](std::string_view word) {
    return type_word == word || schema_text.find(std::string(word) + "job") != std::string::npos;
  };
  const Given& at = type ? *type : schema ? *schema : job.given();
  const auto refuse = [&](std::string_view why, std::string_view hint) {
    to.refuse_key(at, why, std::string(hint));
    to.says_what_to_run();
    return true;
  };
  if (is("pipeline") || job.has("jobs"))
    return refuse("this is a pipeline of several jobs", kOneJob);
  if (is("sweep") || job.has("search_space")) {
    return refuse("this is a sweep, which starts many jobs",
                  "muster runs one job: write its trial into a file of its own, with values for "
                  "what the sweep chooses");
  }
  if (type_word.ends_with("component") || schema_text.find("component") != std::string::npos ||
      job.has("is_deterministic")) {
    return refuse(
        "this is a component, the description of a step and no job",
        "muster runs one job: write its command, code and environment into a job file, with "
        "a value for each input");
  }
  if (type_word.empty() || type_word == "command" || type_word == "commandjob") return false;
  return refuse("jobs of type " + in_quotes(type->text()) + " are none that Muster runs",
                "muster runs jobs of type command");
}

// A number or path that only a pipeline could fill in; true when it was refused.
bool refuse_expression_in(const Given& given, Translation& to) {
  if (!given.is_scalar() || !has_expression(given.text())) return false;
  const auto parts = parse_expressions(given.text());
  to.refuse(given, parts ? "${{…}} is not filled in here" : parts.error().why,
            parts ? "write the value itself" : parts.error().hint);
  return true;
}

void set_count(const NativeKey& key, const Given& given, Translation& to) {
  if (!refuse_expression_in(given, to)) to.set(key, given);
}

void translate_code_path(const Given& code, Translation& to) {
  const auto text = to.text_of(code);
  if (!text || refuse_expression_in(code, to)) return;
  std::string path(trimmed(*text));
  const std::string small = lower(path);
  if (small.starts_with("azureml:")) {
    to.refuse(code, "the code is an asset of a workspace, which Muster does not fetch",
              "write the local directory that holds it");
    return;
  }
  const bool repository =
      small.starts_with("git") || small.find("://") != std::string::npos || small.ends_with(".git");
  if (repository && !small.starts_with("file:") && !small.starts_with("git/")) {
    to.refuse(code, "the code is in a git repository, which Muster does not clone",
              "clone it, and write the local directory");
    return;
  }
  for (const std::string_view prefix : {"file://", "file:"}) {
    if (small.starts_with(prefix)) {
      path.erase(0, prefix.size());
      break;
    }
  }
  to.set("source_directory", code, path);
}

void translate_code(const Given& code, Translation& to) {
  if (!code.is_mapping()) {
    translate_code_path(code, to);
    return;
  }
  Fields fields(to, code);
  fields.pass({"name", "version"});
  for (const std::string_view name : {"local_path", "directory", "path"}) {
    if (const auto path = fields.take_value(name)) translate_code_path(*path, to);
  }
  fields.finish();
}

void translate_environment_fields(const Given& environment, Translation& to) {
  Fields fields(to, environment);
  fields.pass({"$schema", "name", "version", "os_type", "description", "tags", "inference_config",
               "properties", "type"});
  if (const auto image = fields.take_value("image")) to.set("environment.image", *image);
  if (const auto docker = fields.take_value("docker")) {
    translate_environment_fields(*docker, to);  // the first preview: {docker: {image: …}}
  }
  if (const auto build = fields.take_value("build")) {
    to.elsewhere(*build, "no image is built here: the ranks run where Muster runs");
  }
  if (const auto conda = fields.take_value("conda_file")) {
    if (conda->is_mapping()) {
      v1::translate_conda(*conda, to);
    } else if (const auto text = to.text_of(*conda)) {
      to.set("environment.python.conda_file", *conda,
             text->starts_with("file:") ? text->substr(5) : *text);
    }
  }
  fields.finish();
}

void translate_environment(const Given& environment, Translation& to) {
  if (environment.is_mapping()) {
    translate_environment_fields(environment, to);
    return;
  }
  const auto text = to.text_of(environment);
  if (!text) return;
  if (text->starts_with("file:")) {
    if (const auto file = to.mapping_beside(environment, text->substr(5))) {
      translate_environment_fields(*file, to);
    }
    return;
  }
  to.elsewhere(environment,
               in_quotes(*text) +
                   " is an environment of a workspace: the ranks use what is installed "
                   "here");
}

void translate_variables(const Given& variables, Translation& to) {
  if (!variables.is_mapping()) {
    to.refuse(variables, "it takes names with values");
    return;
  }
  for (const Given& variable : variables.entries()) {
    to.set(NativeKey("environment.variables") / variable.key, variable);
  }
}

void translate_target(const Given& target, Translation& to) {
  const auto text = to.text_of(target);
  if (!text || lower(trimmed(*text)) == "local" || lower(trimmed(*text)) == "azureml:local") return;
  to.elsewhere(target, in_quotes(*text) + " is a compute target: the run is where Muster runs");
}

// How many nodes the job asks for, and where it says so.
class Instances {
 public:
  explicit Instances(Translation& to) : to_(to) {}

  void add(const std::optional<Given>& given) {
    if (!given || refuse_expression_in(*given, to_)) return;
    const auto count = to_.count_of(*given, 1);
    if (!count) return;
    if (given_ && count_ != *count) {
      to_.warn(*given, std::to_string(*count) + " is not " + printable(given_->path) +
                           ", which is " + std::to_string(count_) + " and counts");
      return;
    }
    given_ = given;
    count_ = *count;
  }

  int count() const { return count_; }
  // Without a distribution nothing tells the copies of a command apart.
  void set(bool distributed) {
    if (!given_) return;
    if (distributed || count_ == 1) {
      to_.set("node_count", *given_);
      return;
    }
    to_.warn(*given_, "without a distribution the command runs once, on one node instead of " +
                          std::to_string(count_));
    to_.set("node_count", *given_, "1", std::to_string(count_) + ", and no distribution");
  }

 private:
  Translation& to_;
  std::optional<Given> given_;
  int count_ = 1;
};

void translate_resources(const Given& resources, Instances& instances, Translation& to) {
  if (!resources.is_mapping()) {
    to.refuse(resources, "it is a group of keys");
    return;
  }
  Fields fields(to, resources);
  fields.pass({"max_instance_count"});
  instances.add(fields.take_value("instance_count"));
  if (const auto size = fields.take_value("shm_size")) to.set("resources.shm_size", *size);
  const auto elsewhere = [&](std::string_view name, std::string_view why) {
    if (const auto given = fields.take_value(name)) to.elsewhere(*given, std::string(why));
  };
  elsewhere("instance_type", "the run is on the machine where Muster runs");
  elsewhere("docker_args", "no container is started here: give them to the one that Muster is in");
  elsewhere("locations", "the run is where Muster runs");
  elsewhere("properties", "they are for Azure ML's scheduler");
  fields.finish();
}

void translate_compute(const Given& compute, Instances& instances, Translation& to) {
  if (!compute.is_mapping()) {
    translate_target(compute, to);
    return;
  }
  Fields fields(to, compute);
  if (const auto target = fields.take_value("target")) translate_target(*target, to);
  instances.add(fields.take_value("instance_count"));
  instances.add(fields.take_value("node_count"));
  if (const auto type = fields.take_value("instance_type")) {
    to.elsewhere(*type, "the run is on the machine where Muster runs");
  }
  fields.finish();
}

void translate_per_instance(Fields& fields, const Given& distribution, bool needed,
                            Translation& to) {
  const auto count = fields.take_value("process_count_per_instance");
  if (count) {
    set_count("process_count_per_node", *count, to);
    return;
  }
  to.derive("process_count_per_node", "1", "no process_count_per_instance");
  if (needed) {
    to.warn(distribution,
            "no process_count_per_instance: one process on each node, however many "
            "GPUs it has");
  }
}

void translate_roles(Fields& fields, int instances, Translation& to) {
  if (const auto workers = fields.take_value("worker_count")) {
    set_count("tensorflow.worker_count", *workers, to);
  } else {
    to.derive("tensorflow.worker_count", std::to_string(instances),
              "no worker_count, so as many as instance_count");
  }
  if (const auto servers = fields.take_value("parameter_server_count")) {
    set_count("tensorflow.parameter_server_count", *servers, to);
  } else {
    to.derive("tensorflow.parameter_server_count", "0", "no parameter_server_count");
  }
}

void translate_distribution(const Given& distribution, int instances, Translation& to) {
  Fields fields(to, distribution);
  auto type = fields.take_value("type");
  if (!type) type = fields.take_value("distribution_type");
  const auto text = type ? to.text_of(*type) : std::nullopt;
  if (!text) {
    if (!type) {
      to.refuse_key(distribution, "it has no type", "write type: mpi, pytorch or tensorflow");
    }
    return;
  }
  const std::string word = plain_word(*text);
  if (word == "mpi") {
    to.set("distributed_backend", *type, "mpi");
    translate_per_instance(fields, distribution, true, to);
  } else if (word == "pytorch" || word == "torch.distributed") {
    to.set("distributed_backend", *type, "direct", printable(*text));
    translate_per_instance(fields, distribution, false, to);
  } else if (word == "tensorflow") {
    to.set("distributed_backend", *type, "direct", printable(*text));
    translate_roles(fields, instances, to);
  } else if (word == "ray") {
    to.refuse(*type, "Muster starts no Ray cluster",
              "use type mpi, and start Ray in the command: its head where RANK is 0");
    return;
  } else {
    to.refuse(*type, one_of(*text, "mpi, pytorch, tensorflow"));
    return;
  }
  fields.finish();
}

void translate_limits(const Given& limits, Translation& to) {
  if (!limits.is_mapping()) {
    to.refuse(limits, "it is a group of keys");
    return;
  }
  Fields fields(to, limits);
  if (const auto timeout = fields.take_value("timeout")) {
    const auto seconds = parse_long_duration(timeout->text());
    if (seconds) {
      to.set("limits.max_run_duration_seconds", *timeout, std::to_string(*seconds),
             printable(timeout->text()));
    } else {
      to.set("limits.max_run_duration_seconds", *timeout);
    }
  }
  fields.pass({"job_limits_type"});
  fields.finish();
}

void tell_services(const Given& services, Translation& to) {
  for (const Given& service : services.entries()) {
    to.elsewhere(service, "the service is not started here");
  }
}

// The first preview wrote {inputs.data} where it is ${{inputs.data}} now.
std::string with_present_references(std::string text) {
  for (const std::string_view old : {"{inputs.", "{outputs."}) {
    for (std::size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + 4)) {
      const std::size_t end = text.find('}', at);
      if (end == std::string::npos) break;
      if (at > 0 && (text[at - 1] == '{' || text[at - 1] == '$')) continue;
      text.insert(end, "}").insert(at, "${");
    }
  }
  return text;
}

void translate_command(const Given& command, Translation& to) {
  const auto text = to.text_of(command);
  if (!text) return;
  const std::string present = with_present_references(*text);
  if (present == *text) {
    to.set("command", command);
  } else {
    to.set("command", command, present, "{inputs.x} is ${{inputs.x}} now");
  }
}

// The service's answers have the job in {id, name, properties: {jobType, …}}.
Given without_envelope(const Given& whole, Translation& to) {
  Fields envelope(to, whole);
  if (envelope.has("command") || envelope.has("job_type")) return whole;
  const auto properties = envelope.take("properties");
  if (!properties || !properties->is_mapping() || !Fields(to, *properties).has("job_type")) {
    return whole;
  }
  envelope.pass({"$schema", "id", "name", "type", "system_data"});
  envelope.finish();
  return *properties;
}

// What the service's form names by the ids of a workspace.
void tell_ids(Fields& job, Translation& to) {
  if (const auto compute = job.take_value("compute_id")) translate_target(*compute, to);
  if (const auto environment = job.take_value("environment_id")) {
    to.elsewhere(*environment,
                 "it is an environment of a workspace: the ranks use what is installed here");
  }
  if (const auto component = job.take_value("component_id")) {
    to.elsewhere(*component, "the component is not read: the job's own command is run");
  }
  if (const auto code = job.take_value("code_id")) {
    to.elsewhere(*code,
                 "the code is an asset of a workspace, which Muster does not fetch: the ranks have "
                 "the files beside the config");
  }
}

bool names_default_output(const std::vector<Expression>& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const Expression& part) {
    return (part.kind == Expression::Kind::kOutput && part.text == "default") ||
           names_default_output(part.parts);
  });
}

// ${{outputs.default}} is the run's own artifacts, which nobody declares.
void declare_default_output(Translation& to, const std::vector<std::optional<Given>>& users) {
  const NativeKey key = NativeKey("outputs") / "default";
  const auto declare_for = [&](const Given& user) {
    const auto parts = parse_expressions(with_present_references(user.text()));
    if (!parts || !names_default_output(*parts) || to.has(key)) return;
    Node own;
    own.note = "the run's own artifacts";
    to.set_node(key, user, std::move(own));
  };
  for (const auto& user : users) {
    if (!user) continue;
    if (user->is_scalar()) declare_for(*user);
    for (const Given& variable : user->entries()) declare_for(variable);
  }
}

}  // namespace

void translate_command_job(const NodePtr& root, Translation& to) {
  const Given whole = without_envelope(to.whole(root), to);
  Fields job(to, whole);
  if (refuse_other_kinds(job, to)) return;
  tell_ids(job, to);
  job.pass({"name", "display_name", "experiment_name", "description", "tags", "properties", "id",
            "version", "status", "creation_context", "parent_job_name", "resource_group",
            "is_archived", "notification_setting", "secrets_configuration", "parameters"});
  if (const auto component = job.take_value("component")) {
    to.refuse(*component, "the job is made of a component, which Muster does not read",
              "write the component's command, code and environment into the job");
    to.says_what_to_run();
    return;
  }
  if (const auto command = job.take_value("command")) {
    translate_command(*command, to);
  } else {
    to.refuse_key(whole, "the job has no command", "add \"command: python3 train.py\"");
    to.says_what_to_run();
  }
  if (const auto code = job.take_value("code")) translate_code(*code, to);
  if (const auto inputs = job.take_value("inputs")) translate_job_inputs(*inputs, to);
  if (const auto outputs = job.take_value("outputs")) translate_job_outputs(*outputs, to);

  declare_default_output(to, {job.take_value("command"), job.take_value("environment_variables")});

  Instances instances(to);
  if (const auto resources = job.take_value("resources")) {
    translate_resources(*resources, instances, to);
  }
  if (const auto compute = job.take_value("compute")) translate_compute(*compute, instances, to);
  const auto distribution = job.take_value("distribution");
  instances.set(distribution.has_value());
  if (distribution && distribution->is_mapping()) {
    translate_distribution(*distribution, instances.count(), to);
  } else if (distribution) {
    to.refuse(*distribution, "it is a group of keys", "for example {type: mpi}");
  }

  if (const auto environment = job.take_value("environment"))
    translate_environment(*environment, to);
  if (const auto variables = job.take_value("environment_variables")) {
    translate_variables(*variables, to);
  }
  if (const auto limits = job.take_value("limits")) translate_limits(*limits, to);
  if (const auto services = job.take_value("services")) tell_services(*services, to);
  if (const auto queue = job.take_value("queue_settings")) {
    to.elsewhere(*queue, "Muster has no queue");
  }
  if (const auto identity = job.take_value("identity")) {
    to.elsewhere(*identity, "the ranks run as the user who starts Muster");
  }
  job.finish();
}

}  // namespace muster::config
