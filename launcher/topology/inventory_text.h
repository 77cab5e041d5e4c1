// What a node has, for people and for programs: `muster topo`.
#pragma once

#include <string>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

// A header line and a table of NUMA nodes; ends in a newline.
std::string topology_text(const NodeInventory& inventory);

// One JSON object; sets of CPUs are Linux lists, unknown locality is null.  Ends in a newline.
std::string topology_json(const NodeInventory& inventory);

}  // namespace muster::topology
