// The directories and the host file that AZ_BATCH_* and AZ_BATCHAI_* name.  They are made before
// the ranks start, and removed with all that is in them when the run has ended.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"

namespace muster::plan {

struct BatchDirectories {
  explicit BatchDirectories(const std::string& node_directory);

  std::string root;    // the node's
  std::string task;    // the run's on this node
  std::string temp;    // for the run's temporary files
  std::string shared;  // for the ranks to leave each other files
  std::string host_file;

  std::vector<std::string> all() const { return {root, task, temp, shared}; }
};

// In Open MPI's form, a line for each node: "127.0.0.1 slots=4".
std::string host_file_text(const LaunchPlan& plan);

}  // namespace muster::plan
