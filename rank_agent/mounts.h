// Checks that a rank sees the mounts of its inputs and outputs as the launcher does: an agent that
// something put into other mounts (a container, a mount namespace) would start a rank on empty
// directories.
#pragma once

#include <string>
#include <vector>

#include "base/mounts.h"
#include "node.pb.h"

namespace muster::agent {

// "" when every mount of the spec is in the table; else what is wrong, in one phrase.  Only the
// table is looked at: the mounts themselves may not answer.
std::string find_missing_mount(const protocol::RankSpec& spec, const std::vector<Mount>& table);

}  // namespace muster::agent
