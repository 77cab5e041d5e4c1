// A virtual environment is active when its bin directory is first on PATH; VIRTUAL_ENV and
// CONDA_PREFIX only say so, and may be left from another shell.

#include "launcher/cli/python_facts.h"

#include <filesystem>

#include "base/files.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

using Variables = std::map<std::string, std::string>;

// What ranks will have: the config's variables win over the caller's.
std::string variable_of_ranks(const config::RunConfig& config, const Variables& caller,
                              const std::string& name) {
  for (const auto& [set_name, setting] : config.environment_variables) {
    if (set_name == name) return setting.value;
  }
  const auto found = caller.find(name);
  return found == caller.end() ? "" : found->second;
}

bool is_python(const std::string& word) {
  const std::string name = fs::path(word).filename().string();
  return name == "python" || name.starts_with("python3");
}

// The word by which the run names its Python; "" when it names none.
std::string python_word(const config::RunConfig& config) {
  if (const auto* script = std::get_if<config::EntryScript>(&config.run.value)) {
    return script->path.ends_with(".py") ? config.python_interpreter.value : "";
  }
  if (const auto* command = std::get_if<config::ShellCommand>(&config.run.value)) {
    const std::string first = command->text.substr(0, command->text.find(' '));
    return is_python(first) ? first : "";
  }
  const std::string& first = std::get<config::Program>(config.run.value).argv.front();
  return is_python(first) ? first : "";
}

bool is_same(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

}  // namespace

std::optional<plan::PythonFacts> find_python(const config::RunConfig& config,
                                             const Variables& caller) {
  plan::PythonFacts facts;
  facts.word = python_word(config);
  if (facts.word.empty()) return std::nullopt;
  const std::string path = variable_of_ranks(config, caller, "PATH");
  auto executable = find_program(facts.word, path);
  if (!executable) {
    if (facts.word.find('/') != std::string::npos)
      return std::nullopt;  // the ranks' directory counts
    if (const auto python3 = find_program("python3", path)) facts.python3 = python3->string();
    return facts;
  }
  facts.executable = executable->string();
  const fs::path prefix = executable->parent_path().parent_path();
  std::error_code error;
  if (fs::exists(prefix / "pyvenv.cfg", error)) {
    facts.environment = prefix.string();
    facts.known_by = "pyvenv.cfg";
  }
  for (const char* name : {"CONDA_PREFIX", "VIRTUAL_ENV"}) {
    const std::string active = variable_of_ranks(config, caller, name);
    if (active.empty()) continue;
    if (is_same(prefix, active)) {
      facts.environment = prefix.string();
      facts.known_by = name;
      facts.active.clear();
    } else if (facts.word.find('/') == std::string::npos) {
      facts.active = std::string(name) + "=" + active;
    }
  }
  return facts;
}

std::string python3_alone(const config::RunConfig& config, const Variables& caller) {
  const std::string path = variable_of_ranks(config, caller, "PATH");
  if (find_program("python", path)) return "";
  const auto python3 = find_program("python3", path);
  return python3 ? python3->string() : "";
}

}  // namespace muster::cli
