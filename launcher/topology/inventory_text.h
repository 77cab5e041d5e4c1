// What a node has, for people: `muster topo`.
#pragma once

#include <string>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

// A header line and tables of NUMA nodes, GPUs and NICs, then notes; columns and tables without
// content are left out.  Ends in a newline.
std::string topology_text(const NodeInventory& inventory);

}  // namespace muster::topology
