#include "launcher/python_env/conda_program.h"

#include <filesystem>
#include <unistd.h>

#include "base/files.h"

namespace muster::python_env {
namespace {

using Kind = plan::CondaProgram::Kind;

Kind kind_of(const std::string& executable) {
  const std::string name = std::filesystem::path(executable).filename().string();
  if (name.starts_with("micromamba")) return Kind::kMicromamba;
  return name.starts_with("mamba") ? Kind::kMamba : Kind::kConda;
}

}  // namespace

std::optional<plan::CondaProgram> find_conda(
    const std::map<std::string, std::string>& environment) {
  const auto value = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  const auto named = [&](const char* variable) -> std::optional<plan::CondaProgram> {
    const std::string path = value(variable);
    if (path.empty() || ::access(path.c_str(), X_OK) != 0) return std::nullopt;
    return plan::CondaProgram{kind_of(path), path};
  };
  if (auto found = named("MAMBA_EXE")) return found;
  for (const char* name : {"micromamba", "mamba"}) {
    if (const auto found = find_program(name, value("PATH"))) {
      return plan::CondaProgram{kind_of(name), std::filesystem::absolute(*found).string()};
    }
  }
  if (auto found = named("CONDA_EXE")) return found;
  if (const auto found = find_program("conda", value("PATH"))) {
    return plan::CondaProgram{Kind::kConda, std::filesystem::absolute(*found).string()};
  }
  return std::nullopt;
}

}  // namespace muster::python_env
