// Azure ML Workbench (2017 to mid 2018): TitleCase keys, one list with the script and its
// arguments, and the machine in a file of its own, <target>.compute, beside the config.

#include "base/text.h"
#include "launcher/config/dialects/run_configuration.h"
#include "launcher/config/dialects/translators.h"
#include "launcher/config/dialects/words.h"

namespace muster::config {
namespace {

using v1::is_none;

void translate_argument_vector(const Given& given, Translation& to) {
  if (!given.is_list()) {
    to.refuse(given, "it takes a list", "write [train.py, --lr, 0.1]");
    return;
  }
  bool first = true;
  for (const Given& item : given.items()) {
    const auto text = to.text_of(item);
    if (!text) continue;
    if (!first) {
      to.append("arguments", given, *text);
    } else if (*text == "$file") {
      to.elsewhere(item,
                   "$file is the script that Workbench was told to run: name it with --set "
                   "entry_script=train.py");
    } else {
      const std::string path = v1::posix_path(*text);
      to.set("entry_script", item, path, "the first word of " + given.key);
    }
    first = false;
  }
}

// Workbench wrote its own enumeration here.
void translate_framework(const Given& given, Translation& to) {
  const auto text = to.text_of(given);
  if (!text) return;
  if (lower(*text).starts_with("pyspark")) {
    to.refuse(given, "Spark jobs are not run by Muster",
              "submit it with spark-submit, or set Framework to Python");
  }
}

// A machine, of which its Python and its image matter here.
void translate_compute_file(const Given& target, const std::string& path, Translation& to) {
  auto file = to.mapping_beside(target, path);
  if (!file) return;
  file->path.clear();  // its keys are not below Target
  Fields compute(to, *file);
  const auto type = compute.take_value("type");
  const std::string kind = type ? lower(type->text()) : "";
  if (const auto python = compute.take_value("pythonLocation"); python && !is_none(*python)) {
    const auto text = to.text_of(*python);
    if (text && !text->empty()) {
      to.set("environment.python.interpreter", *python, *text == "python" ? "python3" : *text);
    }
  }
  const auto managed = compute.take_value("userManagedEnvironment");
  if (managed && !is_none(*managed) && to.flag_of(*managed).value_or(false)) {
    to.set("environment.python.user_managed", *managed, "true");
  }
  const bool container = kind == "remotedocker" || kind == "localdocker" || kind == "amlcompute" ||
                         kind == "containerinstance";
  const auto image = compute.take_value("baseDockerImage");
  if (container && image && !is_none(*image)) to.set("environment.image", *image);
  if (const auto nodes = compute.take_value("nodeCount"); nodes && !is_none(*nodes)) {
    const auto count = to.count_of(*nodes, 1);
    if (count.value_or(1) > 1) {
      to.warn(*nodes,
              "Workbench starts one process on one node, and so does Muster; write a "
              "config of your own for more");
    }
  }
  if (type && !kind.empty() && kind != "local" && kind != "localdocker") {
    to.elsewhere(*type, "Muster runs where it is started, and looks for no compute target");
  }
  compute.pass({"sharedVolumes", "nvidiaDocker", "yarnDeployMode", "priority", "address",
                "username", "password", "privateKeyFile", "name"});
  compute.finish();
}

}  // namespace

void translate_workbench(const NodePtr& root, Translation& to) {
  const v1::Project project(to);
  to.count_paths_from(project.directory());
  to.derive("source_directory", ".",
            project.is_above() ? "the project that holds " + project.folder()
                               : "the directory of the config");
  Fields top(to, to.whole(root));
  if (const auto words = top.take_value("ArgumentVector")) translate_argument_vector(*words, to);
  if (const auto framework = top.take_value("Framework")) translate_framework(*framework, to);
  if (const auto variables = top.take_value("EnvironmentVariables")) {
    v1::translate_variables(*variables, to);
  }
  if (const auto target = top.take_value("Target"); target && !is_none(*target)) {
    const auto name = to.text_of(*target);
    const std::string file = name.value_or("") + ".compute";
    if (name && !name->empty() && name->find('/') == std::string::npos && to.read_beside(file)) {
      translate_compute_file(*target, file, to);
    } else if (name && lower(*name) != "local") {
      to.elsewhere(*target, "there is no " + printable(file) +
                                " beside the config that says what machine this is");
    }
  }
  const auto conda = top.take_value("CondaDependenciesFile");
  if (conda && !is_none(*conda) && !conda->text().empty()) {
    if (to.has("environment.python.user_managed")) {
      to.elsewhere(*conda, "not used: the target's userManagedEnvironment is true");
    } else {
      const std::string path = project.from_project(v1::posix_path(conda->text()), to);
      to.set("environment.python.conda_file", *conda, path,
             path == conda->text() ? "" : "it says " + conda->text());
    }
  }
  top.pass({"SparkDependenciesFile", "PrepareEnvironment", "TrackedRun", "UseSampling",
            "DataReferences", "DockerShmSize"});
  top.finish();
}

}  // namespace muster::config
