// The environment of the training process.
#pragma once

#include <string>
#include <vector>

#include "node.pb.h"

namespace muster::agent {

// The spec's variables and, when the spec says so, the MPI identity that mpirun gave this agent
// ("NAME=value"), without what was meant for mpirun alone.  What the spec sets wins.
std::vector<std::string> training_environment(const protocol::RankSpec& spec,
                                              const std::vector<std::string>& own);

// The value of `name` in such a list; "" when it is not there.
std::string value_of(const std::vector<std::string>& environment, const std::string& name);

}  // namespace muster::agent
