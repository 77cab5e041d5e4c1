// The environment of a v1 run configuration: Python and its packages, variables, the image.

#include <algorithm>

#include "base/text.h"
#include "launcher/config/azureml_packages.h"
#include "launcher/config/dialects/run_configuration.h"
#include "launcher/config/dialects/words.h"
#include "launcher/config/expressions.h"

namespace muster::config::v1 {
namespace {

void add_pip_item(const Given& list, const Given& item, Translation& to) {
  const auto text = to.text_of(item);
  if (!text || text->empty()) return;
  if (is_sdk_package(*text)) {
    to.elsewhere(item, printable(*text) + " is left out: Azure ML's SDK has no part in a run here");
  } else if (text->starts_with("-r ") || text->starts_with("--requirement ")) {
    if (to.has("environment.python.pip_requirements_file")) {
      to.refuse(item, "one requirements file can be named",
                "write its \"-r\" lines into the first one");
      return;
    }
    to.set("environment.python.pip_requirements_file", item,
           posix_path(text->substr(text->find_first_not_of(' ', text->find(' ')))), *text);
  } else if (text->starts_with('-')) {
    for (const std::string& word : split(*text, ' ')) {
      if (!word.empty()) to.append("environment.python.pip_options", list, word);
    }
  } else {
    to.append("environment.python.pip_packages", list, *text);
  }
}

void add_dependency(const Given& list, const Given& item, Translation& to) {
  if (!item.is_mapping()) {
    const auto text = to.text_of(item);
    if (text && !text->empty()) to.append("environment.python.conda_packages", list, *text);
    return;
  }
  for (const Given& entry : item.entries()) {
    if (lower(entry.key) != "pip" || !(entry.is_list() || entry.is_null())) {
      to.refuse(entry, "only a list below \"pip\" is known among dependencies");
      continue;
    }
    for (const Given& package : entry.items()) add_pip_item(entry, package, to);
  }
}

// C:\Python\python.exe, .\env\python.exe
bool is_windows_path(const std::string& path) {
  return path.find('\\') != std::string::npos || (path.size() > 1 && path[1] == ':') ||
         lower(path).ends_with(".exe");
}

void translate_interpreter(const Given& given, Translation& to) {
  const auto text = to.text_of(given);
  if (!text || text->empty()) return;
  if (is_windows_path(*text)) {
    to.warn(given, printable(*text) +
                       " is a path of Windows: python3 is used; name another with "
                       "--set environment.python.interpreter=/usr/bin/python3");
    return;
  }
  const bool plain = *text == "python";
  to.set("environment.python.interpreter", given, plain ? "python3" : *text,
         plain ? "it says python" : "");
}

void translate_conda_file(const Given& given, const Project& project, Translation& to) {
  const auto text = to.text_of(given);
  if (!text || text->empty()) return;
  const std::string path = project.from_project(posix_path(*text), to);
  to.set("environment.python.conda_file", given, path, path == *text ? "" : "it says " + *text);
}

bool translate_python(Fields& python, const Project& project, Translation& to) {
  const auto managed = python.take_value("userManagedDependencies");
  const bool by_user = managed && to.flag_of(*managed).value_or(false);
  if (by_user) to.set("environment.python.user_managed", *managed, "true");
  if (const auto path = python.take_value("interpreterPath"); path && !is_none(*path)) {
    translate_interpreter(*path, to);
  }
  auto file = python.take_value("condaDependenciesFile");
  auto inline_conda = python.take_value("condaDependencies");
  if (file && (is_none(*file) || file->text().empty())) file.reset();
  const bool packages = file || inline_conda;
  if (by_user) {
    for (const auto& each : {file, inline_conda}) {
      if (each) to.elsewhere(*each, "not used: userManagedDependencies is true");
    }
  } else if (file) {
    translate_conda_file(*file, project, to);
    if (inline_conda) to.elsewhere(*inline_conda, "not used: condaDependenciesFile is given");
  } else if (inline_conda) {
    translate_conda(*inline_conda, to);
  }
  const auto base = python.take_value("baseCondaEnvironment");
  if (base && !is_none(*base)) to.elsewhere(*base, "no conda environment is cloned");
  python.finish();
  return by_user || packages;
}

struct Image {
  std::optional<bool> enabled;
  std::optional<Given> name;
  std::string registry;
};

void translate_docker(Fields& docker, Image& image, Translation& to) {
  for (const char* name : {"enabled", "useDocker"}) {
    const auto enabled = docker.take_value(name);
    if (enabled && !is_none(*enabled)) image.enabled = to.flag_of(*enabled);
  }
  if (auto base = docker.take_value("baseImage"); base && !is_none(*base)) {
    image.name = std::move(base);
  }
  const auto file = docker.take_value("baseDockerfile");
  if (file && !is_none(*file)) to.elsewhere(*file, "Muster builds no images");
  const auto size = docker.take_value("shmSize");
  if (size && !is_none(*size)) to.set("resources.shm_size", *size);
  const auto arguments = docker.take_value("arguments");
  if (arguments && arguments->is_list() && !arguments->node->items.empty()) {
    to.elsewhere(*arguments, "Muster starts no container");
  }
  if (auto registry = docker.take_group("baseImageRegistry")) {
    if (auto address = named_text(to, *registry, "address")) image.registry = *address;
    registry->pass({"username", "password", "registryIdentity"});
    registry->finish();
  }
  docker.pass({"sharedVolumes", "gpuSupport", "platform", "buildContext"});
  docker.finish();
}

void set_image(const Image& image, Translation& to) {
  if (!image.name || image.enabled == false) return;
  const auto name = to.text_of(*image.name);
  if (!name || name->empty()) return;
  const bool qualified = image.registry.empty() || name->starts_with(image.registry + "/");
  to.set("environment.image", *image.name, qualified ? *name : image.registry + "/" + *name,
         qualified ? "" : "at " + image.registry);
}

void translate_definition(Fields& environment, const Project& project, Image& image,
                          Translation& to) {
  const auto name = environment.take_value("name");
  environment.pass({"version", "inferencingStackVersion", "spark", "databricks", "r",
                    "mavenLibraries", "assetId", "autoRebuild"});
  bool says_packages = false;
  if (auto python = environment.take_group("python")) {
    says_packages = translate_python(*python, project, to);
  }
  if (name && name->is_scalar() && !says_packages && name->text().starts_with("AzureML-")) {
    to.warn(*name, printable(name->text()) +
                       " is an environment that Azure ML keeps: what is in it is not known here, "
                       "and the ranks use the Python that is here");
  }
  if (const auto variables = environment.take_value("environmentVariables")) {
    translate_variables(*variables, to);
  }
  if (auto docker = environment.take_group("docker")) translate_docker(*docker, image, to);
  environment.finish();
}

}  // namespace

void translate_conda(const Given& conda, Translation& to) {
  if (!conda.is_mapping()) {
    to.refuse(conda, "it takes channels and dependencies",
              "write {dependencies: [numpy, {pip: [mpi4py]}]}");
    return;
  }
  Fields fields(to, conda);
  const auto each = [&](std::string_view name, auto add) {
    const auto list = fields.take_value(name);
    if (!list) return;
    if (!list->is_list()) return to.refuse(*list, "it takes a list");
    for (const Given& item : list->items()) add(*list, item);
  };
  each("channels", [&](const Given& list, const Given& item) {
    if (const auto text = to.text_of(item)) {
      to.append("environment.python.conda_channels", list, *text);
    }
  });
  each("dependencies",
       [&](const Given& list, const Given& item) { add_dependency(list, item, to); });
  fields.pass({"name", "prefix"});
  fields.finish();
}

void translate_variables(const Given& variables, Translation& to) {
  if (variables.is_null()) return;
  if (!variables.is_mapping()) {
    to.refuse(variables, "it takes names with values", "write {OMP_NUM_THREADS: 4}");
    return;
  }
  for (const Given& entry : variables.entries()) {
    const NativeKey key = NativeKey("environment.variables") / entry.key;
    if (has_expression(entry.text())) {  // a text as any other in v1
      to.set(key, entry, without_references(entry.text()));
    } else {
      to.set(key, entry);
    }
  }
}

void translate_environment(Fields& top, const Project& project, Translation& to) {
  Image image;
  auto given = top.take_value("environment");
  if (given && given->is_scalar() && !is_none(*given)) {
    // The environment's mapping is the root of a file of its own.
    const std::string path = project.from_project(posix_path(given->text()), to);
    given = to.mapping_beside(*given, project.beside(path));
  }
  if (given && given->is_mapping()) {
    Fields environment(to, *given);
    translate_definition(environment, project, image, to);
  } else if (given && given->is_list()) {
    to.refuse(*given, "it takes a group of keys, or the name of a file that has them");
  }
  // Those of the run come after those of its environment, and win.
  if (const auto variables = top.take_value("environmentVariables")) {
    for (const Given& entry : variables->entries()) {
      if (to.has(NativeKey("environment.variables") / entry.key)) {
        to.warn(entry, "it replaces the one of the environment");
      }
    }
    translate_variables(*variables, to);
  }
  if (auto docker = top.take_group("docker")) translate_docker(*docker, image, to);
  set_image(image, to);
  top.pass({"spark"});
}

}  // namespace muster::config::v1
