#include "launcher/python_env/look.h"

#include <filesystem>
#include <sys/utsname.h>

#include "base/cache_directory.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/config/read_config.h"
#include "launcher/plan/requirement_text.h"
#include "launcher/python_env/conda_program.h"
#include "launcher/python_env/interpreter.h"
#include "launcher/python_env/pip_environment.h"
#include "launcher/python_env/requirement_files.h"

namespace muster::python_env {
namespace fs = std::filesystem;
namespace {

using config::RunConfig;
using plan::PythonSources;

constexpr std::size_t kLargestCondaFile = std::size_t{1} << 20;

// The PATH of the ranks: the config's word wins over the caller's.
std::string search_path(const RunConfig& config, const Environment& caller) {
  for (const auto& [name, setting] : config.environment_variables) {
    if (name == "PATH") return setting.value;
  }
  const auto found = caller.find("PATH");
  return found == caller.end() ? "/usr/bin:/bin" : found->second;
}

Error no_interpreter(const RunConfig& config) {
  const auto& setting = config.python_interpreter;
  return Error{ErrorCode::kResources,
               "there is no Python \"" + setting.value +
                   "\" on this node, to make the environment "
                   "of the packages from",
               "name one that is there in environment.python.interpreter, for example python3",
               setting.origin.location};
}

// v1 configs say `python` where Debian has python3 alone.
Result<std::string> interpreter_path(const RunConfig& config, const Environment& caller,
                                     const std::vector<std::string>& directories,
                                     PythonSources& sources) {
  const std::string& word = config.python_interpreter.value;
  if (word.find('/') != std::string::npos) {
    for (const std::string& directory : directories) {
      const fs::path path = (fs::path(directory) / word).lexically_normal();
      std::error_code error;
      if (fs::is_regular_file(path, error)) return path.string();
    }
    return Failure(no_interpreter(config));
  }
  const std::string path = search_path(config, caller);
  if (const auto found = find_program(word, path)) return fs::absolute(*found).string();
  if (word == "python") {
    if (const auto found = find_program("python3", path)) {
      sources.interpreter_note = "there is no python on PATH: python3 is taken";
      return fs::absolute(*found).string();
    }
  }
  return Failure(no_interpreter(config));
}

std::vector<std::string> complete_keys(const fs::path& cache) {
  std::vector<std::string> keys;
  std::error_code error;
  fs::directory_iterator at(cache, error);
  for (const fs::directory_iterator end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (fs::exists(at->path() / "env/bin/python", ignored)) {
      keys.push_back(at->path().filename().string());
    }
  }
  return keys;
}

Result<> find_files(const RunConfig& config, const std::string& current_directory,
                    PythonSources& sources) {
  const auto& python = config.python;
  if (const auto& file = python.pip_requirements_file.value) {
    sources.requirements_file = config::packages_file_path(config, current_directory, *file);
    sources.file_notes.push_back("pip_requirements_file " + *file + " is " +
                                 sources.requirements_file);
    MUSTER_TRY_ASSIGN(sources.requirement_texts, read_requirement_files(sources.requirements_file));
  }
  if (const auto& file = python.conda_file.value) {
    sources.conda_file = config::packages_file_path(config, current_directory, *file);
    sources.file_notes.push_back("conda_file " + *file + " is " + sources.conda_file);
    MUSTER_TRY_ASSIGN(std::string text, read_file(sources.conda_file, kLargestCondaFile));
    sources.conda_text = plan::NamedText{sources.conda_file, std::move(text)};
  }
  return {};
}

// Paths of the config with their whole names: pip runs elsewhere.
void read_words(const RunConfig& config, const std::vector<std::string>& directories,
                PythonSources& sources) {
  for (const auto& line : config.python.pip_packages) {
    sources.pip_lines.push_back(with_full_path(line.value, "", directories));
  }
  std::string before;
  for (const auto& setting : config.python.pip_options) {
    // "--find-links ./wheels" as one word of the list is two of the command line.
    const std::size_t blank =
        setting.value.starts_with('-') ? setting.value.find(' ') : std::string::npos;
    std::vector<std::string> words = {setting.value};
    if (blank != std::string::npos) {
      words = {setting.value.substr(0, blank), setting.value.substr(blank + 1)};
    }
    for (const std::string& word : words) {
      sources.pip_options.push_back(with_full_path(word, before, directories));
      before = word;
    }
  }
}

std::vector<std::string> find_links(const PythonSources& sources, const Environment& caller,
                                    const std::vector<std::string>& lines) {
  std::vector<std::string> found = find_links_of(caller);
  for (const std::string& line : lines) {
    if (auto value = plan::option_value(line, "-f", "--find-links")) found.push_back(*value);
  }
  for (std::size_t i = 0; i < sources.pip_options.size(); ++i) {
    const std::string& word = sources.pip_options[i];
    const bool followed = i + 1 < sources.pip_options.size();
    if (followed && (word == "-f" || word == "--find-links")) {
      found.push_back(sources.pip_options[i + 1]);
    } else if (auto value = plan::option_value(word, "-f", "--find-links");
               value && !value->empty()) {
      found.push_back(*value);
    }
  }
  return found;
}

std::vector<std::string> all_lines(const PythonSources& sources) {
  std::vector<std::string> lines = sources.pip_lines;
  for (const plan::NamedText& file : sources.requirement_texts) {
    const auto more = plan::requirement_lines(file.text);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  return lines;
}

// Lines and options of pip may name further files; an environment is another when these change.
Result<> read_named_files(const std::vector<std::string>& lines, const Environment& caller,
                          PythonSources& sources) {
  std::vector<std::string> paths;
  for (const std::string& line : lines) {
    for (const auto& [brief, full] : {std::pair{"-r", "--requirement"}, {"-c", "--constraint"}}) {
      if (const auto path = plan::option_value(line, brief, full)) paths.push_back(*path);
    }
  }
  if (const auto found = caller.find("PIP_CONSTRAINT"); found != caller.end()) {
    for (const std::string& path : split(found->second, ' ')) paths.push_back(path);
  }
  for (const std::string& path : paths) {
    if (path.empty() || path.find("://") != std::string::npos) continue;
    MUSTER_TRY_ASSIGN(
        auto more, read_requirement_files((fs::path(sources.working_directory) / path).string()));
    sources.requirement_texts.insert(sources.requirement_texts.end(), more.begin(), more.end());
  }
  return {};
}

void ask(const RunConfig& config, const Environment& caller,
         const std::vector<std::string>& directories, const std::vector<std::string>& lines,
         PythonSources& sources) {
  auto path = interpreter_path(config, caller, directories, sources);
  if (!path) {
    sources.interpreter_problem = std::move(path).error();
    return;
  }
  std::vector<std::string> names;
  if (config.python.user_managed.value) {
    for (const std::string& line : lines) {
      if (auto name = plan::distribution_name(line); !name.empty())
        names.push_back(std::move(name));
    }
  }
  auto facts = ask_interpreter(*path, caller, names);
  if (facts) {
    sources.interpreter = std::move(*facts);
  } else {
    sources.interpreter_problem = std::move(facts).error();
    if (!sources.interpreter_problem->location) {
      sources.interpreter_problem->location = config.python_interpreter.origin.location;
    }
  }
}

}  // namespace

Result<PythonSources> look(const RunConfig& config, const Environment& caller_environment,
                           const std::string& current_directory) {
  PythonSources sources;
  MUSTER_TRY_ASSIGN(const fs::path cache, cache_directory(caller_environment));
  sources.cache = (cache / "python").string();
  sources.made = complete_keys(sources.cache);
  struct utsname machine {};
  if (::uname(&machine) == 0) sources.machine = machine.machine;
  const std::vector<std::string> directories =
      config::packages_file_directories(config, current_directory);
  MUSTER_TRY(find_files(config, current_directory, sources));
  sources.working_directory = sources.requirements_file.empty()
                                  ? directories.front()
                                  : fs::path(sources.requirements_file).parent_path().string();
  read_words(config, directories, sources);
  MUSTER_TRY(read_named_files(sources.pip_lines, caller_environment, sources));
  const std::vector<std::string> lines = all_lines(sources);
  sources.local_packages = look_at_local_packages(
      lines, find_links(sources, caller_environment, lines), sources.working_directory);
  sources.pip_settings = pip_settings(caller_environment);
  const bool conda = !config.python.conda_packages.empty() || config.python.conda_file.value;
  const bool by_conda = conda && config.python.conda_packages_by.value == config::CondaBy::kConda;
  if (by_conda && !config.python.user_managed.value) {
    sources.conda = find_conda(caller_environment);
  } else {
    ask(config, caller_environment, directories, lines, sources);
  }
  return sources;
}

}  // namespace muster::python_env
