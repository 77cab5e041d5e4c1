// The key of an environment is a hash of everything that decides what will be in it, and of nothing
// else: the same packages asked for by another config, in another order or with another token for
// the same index, are the same environment.

#include "launcher/plan/python_plan.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/credentials.h"
#include "base/text.h"
#include "launcher/config/azureml_packages.h"
#include "launcher/config/problems.h"
#include "launcher/plan/conda_file.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/pip_options.h"
#include "launcher/plan/python_path.h"
#include "launcher/plan/requirement_text.h"

namespace muster::plan {
namespace fs = std::filesystem;
namespace {

using config::PythonPackages;
using config::RunConfig;
using config::Setting;

constexpr std::string_view kFormat = "muster python environment 1\n";

std::vector<std::string> texts(const std::vector<Setting<std::string>>& words) {
  std::vector<std::string> found;
  for (const auto& word : words) found.push_back(word.value);
  return found;
}

// Of the first setting that asks for a package.
const config::Origin& origin_of(const PythonPackages& python) {
  for (const auto* words : {&python.pip_packages, &python.conda_packages}) {
    if (!words->empty()) return words->front().origin;
  }
  return python.pip_requirements_file.value ? python.pip_requirements_file.origin
                                            : python.conda_file.origin;
}

bool wants_conda(const PythonPackages& python) {
  return !python.conda_packages.empty() || python.conda_file.value.has_value();
}

// A newer pip than 22.3 installs into another environment.
bool pip_reaches_others(const InterpreterFacts& interpreter) {
  return version_fits(interpreter.pip_version, ">=22.3").value_or(false);
}

Result<VenvBy> choose_venv(const InterpreterFacts& interpreter, bool system_site_packages) {
  const bool has_pip = !interpreter.pip_version.empty();
  if (interpreter.has_venv && system_site_packages && has_pip) return VenvBy::kInheritedPip;
  if (interpreter.has_venv && interpreter.has_ensurepip) return VenvBy::kEnsurepip;
  if (interpreter.has_venv && has_pip && pip_reaches_others(interpreter)) return VenvBy::kOuterPip;
  if (interpreter.has_virtualenv) return VenvBy::kVirtualenv;
  return fail(ErrorCode::kResources,
              "cannot make a Python environment from " + interpreter.executable +
                  ": it has neither ensurepip nor virtualenv nor pip",
              "Debian and Ubuntu: apt-get install python3-venv; else install pip or virtualenv for "
              "it, or name another Python in environment.python.interpreter");
}

// pip_options with credentials go into the file that Muster writes: every user of the node can read
// a command line.
void share_options(const std::vector<std::string>& options, PythonPlan& plan) {
  for (const std::string& word : options) {
    if (without_credentials(word) == word) {
      plan.pip_options.push_back(word);
      continue;
    }
    std::string line = word;
    const bool is_value = !word.starts_with('-') && !plan.pip_options.empty() &&
                          plan.pip_options.back().starts_with('-');
    if (is_value) {
      line = plan.pip_options.back() + " " + word;
      plan.pip_options.pop_back();
    }
    plan.pip_lines.push_back(line);
  }
}

void take_pip_packages(const PythonSources& sources, PythonPlan& plan) {
  plan.pip_lines = sources.pip_lines;
  plan.requirements_file = sources.requirements_file;
  plan.working_directory = sources.working_directory;
}

// What a hash is taken of.
class Spec {
 public:
  void add(std::string_view what, std::string_view value) {
    text_ += fmt::format("{} {} {}\n", what, value.size(), without_credentials(value));
  }
  void add_sorted(std::string_view what, std::vector<std::string> values) {
    std::sort(values.begin(), values.end());
    for (const std::string& value : values) add(what, value);
  }
  std::string hash() const {
    const XXH128_hash_t hash = XXH3_128bits(text_.data(), text_.size());
    return fmt::format("{:016x}{:08x}", hash.high64, hash.low64 >> 32U);
  }

 private:
  std::string text_{kFormat};
};

void add_pip(const PythonSources& sources, const PythonPlan& plan, Spec& spec) {
  if (!plan.installs_by_pip()) return;
  spec.add_sorted("pip", plan.pip_lines);
  for (const std::string& option : plan.pip_options) spec.add("pip option", option);
  for (const NamedText& file : sources.requirement_texts) spec.add("requirements", file.text);
  spec.add_sorted("local", sources.local_packages);
  spec.add_sorted("setting", sources.pip_settings);
}

std::string short_version(const std::string& version) {
  const auto parts = split(version, '.');
  return parts.size() < 2 ? version : parts[0] + "." + parts[1];
}

void name_it(const PythonSources& sources, const std::string& prefix, const Spec& spec,
             PythonPlan& plan) {
  plan.key = prefix + "-" + spec.hash();
  plan.directory = sources.cache + "/" + plan.key;
  plan.made = std::find(sources.made.begin(), sources.made.end(), plan.key) != sources.made.end();
}

Result<PythonPlan> plan_venv(const PythonSources& sources, bool system_site_packages,
                             PythonPlan plan) {
  if (!sources.interpreter) {
    return Failure(sources.interpreter_problem.value_or(
        Error{ErrorCode::kInternal, "no interpreter was looked at"}));
  }
  plan.kind = PythonPlan::Kind::kVenv;
  plan.interpreter = *sources.interpreter;
  plan.system_site_packages = system_site_packages;
  MUSTER_TRY_ASSIGN(plan.venv_by, choose_venv(plan.interpreter, system_site_packages));
  Spec spec;
  spec.add("kind", "venv");
  spec.add("interpreter", plan.interpreter.executable);
  spec.add("version", plan.interpreter.version);
  spec.add("platform", plan.interpreter.platform);
  if (system_site_packages) {
    for (const std::string& directory : plan.interpreter.site_directories) {
      spec.add("sees", directory);
    }
    spec.add_sorted("has", plan.interpreter.distributions);
  }
  add_pip(sources, plan, spec);
  name_it(sources, short_version(plan.interpreter.version), spec, plan);
  return plan;
}

Error no_conda(const RunConfig& config) {
  return Error{ErrorCode::kResources,
               "conda packages are asked for, and neither micromamba nor mamba nor conda is on "
               "PATH or in MAMBA_EXE or CONDA_EXE",
               "install micromamba (one file: mamba.readthedocs.io, \"Micromamba installation\") "
               "and put it on PATH; or take the same names from PyPI with "
               "environment.python.conda_packages_by: pip",
               origin_of(config.python).location};
}

Result<PythonPlan> plan_conda(const RunConfig& config, const PythonSources& sources,
                              PythonPlan plan) {
  if (!sources.conda) return Failure(no_conda(config));
  plan.kind = PythonPlan::Kind::kConda;
  plan.conda = sources.conda;
  plan.conda_file = sources.conda_file;
  plan.conda_channels = texts(config.python.conda_channels);
  plan.conda_packages = texts(config.python.conda_packages);
  if (sources.conda_text) {
    MUSTER_TRY(read_conda_file(sources.conda_text->text, sources.conda_text->path));
  }
  Spec spec;
  spec.add("kind", "conda");
  spec.add("machine", sources.machine);
  if (sources.conda_text) spec.add("file", sources.conda_text->text);
  for (const std::string& channel : plan.conda_channels) spec.add("channel", channel);
  spec.add_sorted("conda", plan.conda_packages);
  add_pip(sources, plan, spec);
  name_it(sources, "conda", spec, plan);
  return plan;
}

// The Python that conda would have brought is the interpreter's now.
void compare_python(const std::string& spec, const PythonSources& sources, PythonPlan& plan) {
  const std::string wanted = python_version_of(spec).value_or("");
  if (wanted.empty() || !sources.interpreter) return;
  const std::string& have = sources.interpreter->version;
  if (version_fits(have, wanted).value_or(false)) return;
  plan.warnings.push_back(
      fmt::format("\"{}\" is asked for, and the environment is made from {}, which is {}: name a "
                  "Python of that "
                  "version in environment.python.interpreter, or install micromamba",
                  spec, sources.interpreter->executable, have));
}

// In a conda file, "-r more.txt" counts from that file.
std::string counted_from(const fs::path& directory, const std::string& line) {
  for (const auto& [brief, full] :
       {std::pair{"-r", "--requirement"}, {"-c", "--constraint"}, {"-e", "--editable"}}) {
    const auto path = option_value(line, brief, full);
    if (path && path->find("://") == std::string::npos) {
      return std::string(brief) + " " + (directory / *path).lexically_normal().string();
    }
  }
  return line;
}

// As the packages that a run configuration itself lists: Azure ML's files name its SDK.
void leave_out_sdk(std::vector<std::string>& words, const std::string& file, PythonPlan& plan) {
  std::erase_if(words, [&](const std::string& word) {
    if (!config::is_sdk_package(word)) return false;
    plan.notes.push_back(config::printable(word) + " of " + file +
                         " is left out: Azure ML's SDK has no part in a run here");
    return true;
  });
}

// conda_packages_by: pip.
Result<> take_conda_names(const RunConfig& config, const PythonSources& sources, PythonPlan& plan) {
  std::vector<std::string> specs = texts(config.python.conda_packages);
  std::vector<std::string> channels = texts(config.python.conda_channels);
  if (sources.conda_text) {
    MUSTER_TRY_ASSIGN(CondaFile file,
                      read_conda_file(sources.conda_text->text, sources.conda_text->path));
    for (std::vector<std::string>* words : {&file.packages, &file.pip}) {
      leave_out_sdk(*words, sources.conda_file, plan);
    }
    specs.insert(specs.end(), file.packages.begin(), file.packages.end());
    channels.insert(channels.end(), file.channels.begin(), file.channels.end());
    for (const std::string& line : file.pip) {
      plan.pip_lines.push_back(counted_from(fs::path(sources.conda_file).parent_path(), line));
    }
  }
  std::vector<std::string> left_out;
  for (const std::string& spec : specs) {
    compare_python(spec, sources, plan);
    if (auto requirement = pip_requirement_of(spec)) {
      plan.pip_lines.push_back(std::move(*requirement));
    } else if (!python_version_of(spec) && spec != "pip") {
      left_out.push_back(spec);
    }
  }
  const std::string by =
      "conda_packages_by is pip (" + config.python.conda_packages_by.origin.text + ")";
  plan.notes.push_back(by + ": conda's names are taken from PyPI" +
                       (channels.empty() ? "" : ", and not from " + join(channels, ", ")));
  if (!left_out.empty()) {
    plan.warnings.push_back(join(left_out, ", ") + (left_out.size() == 1 ? " is" : " are") +
                            " left out: pip's index has no such package, and " + by);
  }
  return {};
}

// user_managed: what the interpreter lacks of what is listed.
std::string what_is_missing(const PythonSources& sources) {
  std::vector<std::string> lacks;
  for (const std::string& line : sources.pip_lines) {
    const auto found = sources.interpreter->versions.find(distribution_name(line));
    if (found == sources.interpreter->versions.end()) continue;
    const std::size_t exact = line.find("==");
    const std::string wanted = exact == std::string::npos ? "" : line.substr(exact);
    if (found->second.empty()) {
      lacks.push_back(line + " is not installed");
    } else if (!wanted.empty() && version_fits(found->second, wanted) == false) {
      lacks.push_back(line + " is " + found->second);
    }
  }
  return join(lacks, ", ");
}

PythonPlan as_it_is(const RunConfig& config, const PythonSources& sources) {
  PythonPlan plan;
  plan.origin = config.python.user_managed.origin.text;
  plan.notes.push_back("user_managed is true (" + plan.origin +
                       "): the interpreter is used as it is, nothing is installed");
  if (sources.interpreter) {
    const std::string lacks = what_is_missing(sources);
    if (!lacks.empty()) {
      plan.warnings.push_back("the packages of " + sources.interpreter->executable +
                              " are not those that the config lists, and user_managed is true (" +
                              plan.origin + "): " + lacks);
    }
  }
  return plan;
}

void add_file_names(const PythonSources& sources, PythonPlan& plan) {
  plan.notes.insert(plan.notes.end(), sources.file_notes.begin(), sources.file_notes.end());
  if (!sources.interpreter_note.empty() && plan.kind == PythonPlan::Kind::kVenv) {
    plan.notes.push_back(sources.interpreter_note);
  }
}

EnvironmentVariable* find_variable(LaunchPlan& plan, std::string_view name) {
  for (EnvironmentVariable& variable : plan.common_environment) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

// The config's own word wins, but for PATH, which keeps it behind ours.
void set_variable(LaunchPlan& plan, const std::string& name, const std::string& value) {
  if (find_variable(plan, name) == nullptr) {
    plan.common_environment.push_back({name, value, "muster, Python environment"});
  }
}

std::string made_or_not(const PythonPlan& python) {
  return python.made ? "made already" : "made at the start of the run";
}

std::string made_from(const PythonPlan& python) {
  if (python.kind == PythonPlan::Kind::kConda) {
    return "by " + python.conda->executable;
  }
  return fmt::format("from {} ({}), {} its packages", python.interpreter.executable,
                     python.interpreter.version, python.system_site_packages ? "with" : "without");
}

}  // namespace

std::vector<std::string> PythonPlan::shown_packages() const {
  std::vector<std::string> shown = conda_packages;
  if (!conda_file.empty()) shown.push_back(conda_file);
  shown.insert(shown.end(), pip_lines.begin(), pip_lines.end());
  if (!requirements_file.empty()) shown.push_back(requirements_file);
  for (std::string& each : shown) each = without_credentials(each);
  return shown;
}

std::string PythonPlan::conda_yaml() const {
  // Quoted as JSON is: a spec may hold a colon or a number sign.
  const auto quoted = [](const std::string& word) {
    std::string text = "\"";
    for (const char c : word) text += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    return text + "\"";
  };
  std::string text = "name: muster\n";
  if (!conda_channels.empty()) text += "channels:\n";
  for (const std::string& channel : conda_channels) text += "  - " + quoted(channel) + "\n";
  text += "dependencies:\n";
  bool has_python = false;
  bool has_pip = !installs_by_pip();
  for (const std::string& package : conda_packages) {
    has_python = has_python || python_version_of(package).has_value();
    has_pip = has_pip || distribution_name(package) == "pip";
    text += "  - " + quoted(package) + "\n";
  }
  if (!has_python) text += "  - python\n";
  if (!has_pip) text += "  - pip\n";
  return text;
}

bool wants_packages(const RunConfig& config) {
  const PythonPackages& python = config.python;
  return !python.pip_packages.empty() || python.pip_requirements_file.value || wants_conda(python);
}

Result<PythonPlan> plan_python(const RunConfig& config, const PythonSources& sources) {
  const PythonPackages& python = config.python;
  if (python.user_managed.value) return as_it_is(config, sources);
  MUSTER_TRY(check_pip_options(python.pip_options));
  PythonPlan plan;
  plan.origin = origin_of(python).text;
  take_pip_packages(sources, plan);
  const bool by_pip = python.conda_packages_by.value == config::CondaBy::kPip;
  if (wants_conda(python) && by_pip) MUSTER_TRY(take_conda_names(config, sources, plan));
  if (plan.installs_by_pip()) share_options(sources.pip_options, plan);
  if (wants_conda(python) && !by_pip) {
    MUSTER_TRY_ASSIGN(plan, plan_conda(config, sources, std::move(plan)));
  } else {
    MUSTER_TRY_ASSIGN(plan, plan_venv(sources, python.system_site_packages.value, std::move(plan)));
  }
  add_file_names(sources, plan);
  return plan;
}

void use_python_environment(const RunConfig& config,
                            const std::map<std::string, std::string>& caller_environment,
                            LaunchPlan& plan) {
  PythonPlan& python = plan.python;
  for (const std::string& note : python.notes) {
    plan.reasons.push_back({"python packages", "", note});
  }
  plan.warnings.insert(plan.warnings.end(), python.warnings.begin(), python.warnings.end());
  if (!python.needed()) return;

  const auto inherited = caller_environment.find("PATH");
  set_variable(plan, "PATH",
               inherited == caller_environment.end() ? "/usr/bin:/bin" : inherited->second);
  put_python_first(plan);
  const bool conda = python.kind == PythonPlan::Kind::kConda;
  set_variable(plan, conda ? "CONDA_PREFIX" : "VIRTUAL_ENV", python.prefix());
  // It would lead away from the environment; empty, it is as if it were not there.
  if (caller_environment.contains("PYTHONHOME")) set_variable(plan, "PYTHONHOME", "");

  if (plan.argv.front() == config.python_interpreter.value) plan.argv.front() = python.python();
  plan.reasons.push_back(
      {"python environment", python.key,
       made_or_not(python) + " " + made_from(python) + ", because of " + python.origin});
  plan.reasons.push_back({"interpreter", python.python(), "of the Python environment"});
}

}  // namespace muster::plan
