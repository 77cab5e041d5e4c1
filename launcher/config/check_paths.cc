// The effectful part of reading a config: whether the files that it names are there.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/text.h"
#include "launcher/config/read_config.h"

namespace muster::config {
namespace {

namespace fs = std::filesystem;

fs::path source_base(const RunConfig& config, const std::string& current_directory) {
  return config.config_directory.empty() ? current_directory : config.config_directory;
}

// "did you mean …" from the names that are there; silent about a directory it cannot list.
std::string near_name_hint(const fs::path& missing) {
  constexpr std::size_t kMostNames = 1000;
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(missing.parent_path(), error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
    if (names.size() == kMostNames) break;
  }
  return did_you_mean_hint(missing.filename().string(), names);
}

Error path_problem(const Origin& origin, std::string_view key, const fs::path& path,
                   const std::string& why, std::string hint) {
  return problem_at(origin, key, path.string() + " " + why, std::move(hint));
}

// What status() could not find out, or that nothing is there.
Error not_found(const Origin& origin, std::string_view key, const fs::path& path,
                const std::error_code& error, std::string hint) {
  const bool absent = !error || error == std::errc::no_such_file_or_directory ||
                      error == std::errc::not_a_directory;
  if (!absent) {
    return path_problem(origin, key, path, "cannot be looked at: " + error.message(),
                        "see who may read it: ls -ld " + shell_quoted(path.string()));
  }
  std::string near = near_name_hint(path);
  return path_problem(origin, key, path, "does not exist",
                      near.empty() ? std::move(hint) : std::move(near));
}

Problems check_source_directory(const RunConfig& config, const std::string& current_directory) {
  const fs::path path = source_directory_path(config, current_directory);
  if (path.empty()) return {};
  const Origin& origin = config.source_directory.origin;
  const std::string hint = config.config_directory.empty()
                               ? "the path counts from the current directory"
                               : "the path counts from the directory of the config";
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return {not_found(origin, "source_directory", path, error, hint)};
  if (fs::is_directory(status)) return {};
  return {path_problem(origin, "source_directory", path, "is not a directory",
                       "name the directory that holds the scripts")};
}

bool leaves_source_directory(const RunConfig& config, const std::string& script) {
  if (!config.source_directory.value || fs::path(script).is_absolute()) return false;
  const fs::path normal = fs::path(script).lexically_normal();
  return !normal.empty() && *normal.begin() == "..";
}

Problems check_entry_script(const RunConfig& config, const std::string& current_directory) {
  const auto* script = std::get_if<EntryScript>(&config.run.value);
  if (script == nullptr || script->path.empty()) return {};  // empty: another problem says so
  const Origin& origin = config.run.origin;
  const fs::path path = entry_script_path(config, current_directory);
  const std::string name = "entry_script";
  if (leaves_source_directory(config, script->path)) {
    return {
        problem_at(origin, name, in_quotes(script->path) + " leaves source_directory",
                   "ranks run inside a copy of it; name a script in it, or a larger directory")};
  }
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return {not_found(origin, name, path, error,
                      config.source_directory.value ? "the path counts from source_directory"
                      : config.config_directory.empty()
                          ? "the path counts from the current directory"
                          : "the path counts from the directory of the config; set "
                            "source_directory to the directory of the script")};
  }
  if (fs::is_directory(status)) {
    return {path_problem(origin, name, path, "is a directory", "name the script in it")};
  }
  if (!fs::is_regular_file(status)) {
    return {path_problem(origin, name, path, "is not a regular file", "name a script")};
  }
  if (::access(path.c_str(), R_OK) != 0) {
    return {path_problem(origin, name, path, std::string("cannot be read: ") + std::strerror(errno),
                         "make it readable for the user that starts the run")};
  }
  return {};
}

Problems check_packages_file(const RunConfig& config, const std::string& current_directory,
                             std::string_view key,
                             const Setting<std::optional<std::string>>& file) {
  if (!file.value) return {};
  const fs::path path = packages_file_path(config, current_directory, *file.value);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_regular_file(status)) return {};
  if (fs::exists(status)) {
    return {path_problem(file.origin, key, path, "is not a regular file", "name a file")};
  }
  const auto directories = packages_file_directories(config, current_directory);
  return {not_found(file.origin, key, path, error,
                    "it is looked for in " + join(directories, ", then in "))};
}

}  // namespace

std::string source_directory_path(const RunConfig& config, const std::string& current_directory) {
  if (!config.source_directory.value) return "";
  const fs::path path = source_base(config, current_directory) / *config.source_directory.value;
  return path.lexically_normal().string();
}

std::string entry_script_path(const RunConfig& config, const std::string& current_directory) {
  const auto* script = std::get_if<EntryScript>(&config.run.value);
  if (script == nullptr || script->path.empty()) return "";
  const std::string source = source_directory_path(config, current_directory);
  const fs::path base = source.empty() ? source_base(config, current_directory) : fs::path(source);
  return (base / script->path).lexically_normal().string();
}

Problems check_paths(const RunConfig& config, const std::string& current_directory) {
  Problems problems = check_source_directory(config, current_directory);
  if (!problems.empty()) return problems;  // where the script would be is unknown
  problems = check_entry_script(config, current_directory);
  const PythonPackages& python = config.python;
  for (const auto& [key, file] :
       {std::pair{"environment.python.pip_requirements_file", &python.pip_requirements_file},
        {"environment.python.conda_file", &python.conda_file}}) {
    for (Error& problem : check_packages_file(config, current_directory, key, *file)) {
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

std::vector<std::string> packages_file_directories(const RunConfig& config,
                                                   const std::string& current_directory) {
  std::vector<std::string> directories;
  const fs::path base = source_base(config, current_directory);
  const auto add = [&](const fs::path& directory) {
    std::string text = directory.lexically_normal().string();
    if (text.size() > 1 && text.back() == '/') text.pop_back();
    if (std::find(directories.begin(), directories.end(), text) == directories.end()) {
      directories.push_back(std::move(text));
    }
  };
  if (config.source_directory.value) add(base / *config.source_directory.value);
  add(base);
  const fs::path name = base.filename();
  if (name == ".azureml" || name == "aml_config") add(base.parent_path());
  return directories;
}

std::string packages_file_path(const RunConfig& config, const std::string& current_directory,
                               const std::string& name) {
  const auto directories = packages_file_directories(config, current_directory);
  for (const std::string& directory : directories) {
    const fs::path path = (fs::path(directory) / name).lexically_normal();
    std::error_code error;
    if (fs::exists(path, error)) return path.string();
  }
  return (fs::path(directories.front()) / name).lexically_normal().string();
}

}  // namespace muster::config
