// The parts of a v1 run configuration, each translated in a file of its own.
#pragma once

#include <string>

#include "launcher/config/dialects/translation.h"

namespace muster::config::v1 {

// Where relative paths of the config count from: the project, which for a file in .azureml or
// aml_config is the directory above.
class Project {
 public:
  explicit Project(const Translation& to);

  // For Translation::read_beside(), whose paths count from the directory of the config.
  std::string beside(const std::string& path) const;
  // A path of the config as one that counts from the project; a file that is only beside the config
  // is found there.
  std::string from_project(const std::string& path, const Translation& to) const;
  bool is_above() const { return !folder_.empty(); }
  const std::string& folder() const { return folder_; }  // ".azureml", "aml_config" or ""
  const std::string& directory() const { return directory_; }

 private:
  std::string folder_;
  std::string directory_;
};

// "aml_config\conda.yml", as Windows writes it, with slashes.
std::string posix_path(std::string path);

// The word None, and nothing at all.
bool is_none(const Given& value);

// A text that names something, not nothing, None or "".
std::optional<std::string> named_text(Translation& to, Fields& fields, std::string_view name);

// framework, communicator and the blocks with counts: what is started how often.
void translate_launch(Fields& top, Translation& to);
// environment, docker, environmentVariables.
void translate_environment(Fields& top, const Project& project, Translation& to);
// A conda specification: {channels: […], dependencies: […]}.
void translate_conda(const Given& conda, Translation& to);
// dataReferences, data, outputData and what belongs to them.
void translate_data(Fields& top, Translation& to);
// Each key and value of environmentVariables.
void translate_variables(const Given& variables, Translation& to);

}  // namespace muster::config::v1
