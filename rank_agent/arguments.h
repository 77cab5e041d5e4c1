// The arguments of the training process, as this rank sees them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node.pb.h"

namespace muster::agent {

// `text` with $NAME and ${NAME} replaced by their values in `environment` ("NAME=value"), as
// Python's os.path.expandvars does it: names that are not set stay as they are written, values are
// not looked into again, and there are no quotes, words or commands as in a shell.
std::string expand_variables(std::string_view text, const std::vector<std::string>& environment);

// The spec's argv, with the variables of the words that the spec marks replaced.
std::vector<std::string> training_argv(const protocol::RankSpec& spec,
                                       const std::vector<std::string>& environment);

}  // namespace muster::agent
