// Where a Batch AI job's data is: below the mount roots of the job and of its cluster.
#pragma once

#include <map>
#include <set>
#include <string>

#include "launcher/config/dialects/translation.h"

namespace muster::config {

// A volume is named by its relativeMountPath, and so is the datastore that stands for it:
// $AZ_BATCHAI_MOUNT_ROOT/share/digits is datastore://share/digits.
class BatchAiPaths {
 public:
  explicit BatchAiPaths(Translation& to) : to_(to) {}

  // Names that inputDirectories take; volumes get others.
  void reserve(const std::string& input) { reserved_.insert(input); }

  // Of a directory of the job; nullopt when it is nowhere that Muster knows, which is then refused.
  std::optional<std::string> place_of(const Given& at, const std::string& path);

  // A text in which volumes are ${{inputs.VOLUME}}, and each of these a mounted input.
  std::string with_inputs(const Given& at, std::string text);

 private:
  std::string input_for(const Given& at, const std::string& volume);

  Translation& to_;
  std::set<std::string> reserved_;
  std::map<std::string, std::string> inputs_;  // by volume
};

}  // namespace muster::config
