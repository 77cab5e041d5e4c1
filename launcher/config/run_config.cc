#include "launcher/config/run_config.h"

#include "launcher/config/values.h"

namespace muster::config {

RunConfig::RunConfig() = default;
RunConfig::RunConfig(const RunConfig&) = default;
RunConfig::RunConfig(RunConfig&&) noexcept = default;
RunConfig& RunConfig::operator=(const RunConfig&) = default;
RunConfig& RunConfig::operator=(RunConfig&&) noexcept = default;
RunConfig::~RunConfig() = default;

std::string to_string(Backend backend) {
  for (const auto& [name, value] : kBackendNames) {
    if (value == backend) return std::string(name);
  }
  return "unknown";
}

std::vector<std::string> script_arguments(const RunConfig& config) {
  std::vector<std::string> words;
  for (const auto& [param, origin] : config.script_params) {
    words.push_back(param.name);
    if (param.value) words.push_back(*param.value);
    words.insert(words.end(), param.more_values.begin(), param.more_values.end());
  }
  for (const Setting<std::string>& argument : config.arguments) words.push_back(argument.value);
  words.insert(words.end(), config.extra_arguments.begin(), config.extra_arguments.end());
  return words;
}

}  // namespace muster::config
