// Where ranks find an input or an output.
#pragma once

#include <string>
#include <string_view>

#include "launcher/plan/make_plan.h"

namespace muster::plan {

// The path of one input or output as ranks see it, whatever brings it there: a mount point or a
// link.  Commands get it as text, so it never holds what a shell would take for something else: the
// names are letters, digits and _, and the directory is one that launcher/exec chose to be so.
inline std::string data_path(const StartValues& start, std::string_view name) {
  return start.data_directory + "/" + std::string(name);
}

}  // namespace muster::plan
