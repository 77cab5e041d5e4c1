// Which network devices ranks are given: none that is down, or there for storage or management.
#pragma once

#include <string_view>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

// "storage", "management", or "": by the name of a device or of its interface.
std::string_view purpose_by_name(std::string_view name);

// Fills `unfit` of those that have none yet.  Pure; docs/topology-files.md has the rules.  An
// override file has the last word.
void mark_unfit(std::vector<Nic>& nics);

}  // namespace muster::topology
