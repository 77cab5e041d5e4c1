// What this machine has for inputs and outputs: facts for planning, found out without changing
// anything.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/plan/data_plan.h"

namespace muster::data {

struct ProbeWishes {
  std::vector<std::string> local_paths;  // absolute
  bool rclone = false;                   // its version takes a moment
};

plan::DataFacts probe(const ProbeWishes& wishes,
                      const std::map<std::string, std::string>& environment);

}  // namespace muster::data
