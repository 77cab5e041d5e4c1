// What a conda environment file lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "muster/result.h"

namespace muster::plan {

struct CondaFile {
  std::vector<std::string> channels;
  std::vector<std::string> packages;  // conda's own
  std::vector<std::string> pip;       // the lines below "- pip:"
};

Result<CondaFile> read_conda_file(std::string_view text, const std::string& name);

}  // namespace muster::plan
