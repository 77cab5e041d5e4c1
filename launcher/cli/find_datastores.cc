#include "launcher/cli/find_datastores.h"

#include <filesystem>
#include <vector>

#include "base/files.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargestFile = 16U << 20;
constexpr const char* kFileName = "datastores.yaml";

}  // namespace

std::string find_datastores(const CommandLine& line, const std::string& config_directory,
                            const CallerEnvironment& environment) {
  if (const auto given = line.text("datastores")) return *given;
  std::vector<fs::path> candidates;
  if (!config_directory.empty()) candidates.push_back(fs::path(config_directory) / kFileName);
  const auto variable = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  if (const std::string home = variable("XDG_CONFIG_HOME"); !home.empty()) {
    candidates.push_back(fs::path(home) / "muster" / kFileName);
  } else if (const std::string own = variable("HOME"); !own.empty()) {
    candidates.push_back(fs::path(own) / ".config/muster" / kFileName);
  }
  std::error_code ignored;
  for (const fs::path& candidate : candidates) {
    if (fs::exists(candidate, ignored)) return candidate.string();
  }
  return "";
}

tl::expected<config::Datastores, config::Problems> load_datastores(const std::string& name) {
  if (name.empty()) return config::Datastores();
  auto text = read_file(name, kLargestFile);
  if (!text) {
    Error error = std::move(text).error();
    error.code = ErrorCode::kConfig;
    error.message = "cannot read the datastores: " + error.message;
    return tl::unexpected<config::Problems>(config::Problems{std::move(error)});
  }
  const fs::path whole = fs::absolute(name).lexically_normal();
  return config::read_datastores(*text, name, whole.parent_path().string());
}

}  // namespace muster::cli
