// What Azure ML adds to every environment, and lists among a run's packages.
#pragma once

#include <cctype>
#include <string>
#include <string_view>

namespace muster::config {

// Its SDK; Muster has what a run needs of it.  Takes "azureml-defaults==1.0", of pip or conda.
inline bool is_sdk_package(std::string_view package) {
  const std::size_t channel_end = package.find("::");
  if (channel_end != std::string_view::npos) package.remove_prefix(channel_end + 2);
  std::string name(package.substr(0, package.find_first_of("=<>!~[ ;")));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name == "azureml" || name.starts_with("azureml-") || name.starts_with("azureml_");
}

}  // namespace muster::config
