// Checks that the names by which a training program finds its communicators agree with each other.
#pragma once

#include <string>
#include <vector>

#include "node.pb.h"

namespace muster::agent {

// "" when the environment is consistent; else the contradiction in one phrase, for which the agent
// refuses to exec: a program that trains as two different ranks is worse than one that does not
// start.
std::string find_contradiction(const protocol::RankSpec& spec,
                               const std::vector<std::string>& environment);

}  // namespace muster::agent
