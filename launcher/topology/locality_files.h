// What files say of where devices are, as claims beside the kernel's: the user's override file and
// NCCL's topology file.
#pragma once

#include <map>
#include <string>

#include "launcher/topology/locality.h"
#include "launcher/topology/node_inventory.h"
#include "launcher/topology/topology_override.h"
#include "muster/result.h"

namespace muster::topology {

// Nothing where `file` is "".  Needs the inventory's devices and NUMA nodes; changes which NICs are
// fit, and notes devices that are not there.
Result<> take_override_file(const std::string& file, NodeInventory& inventory,
                            LocalityClaims& claims);

// The settings of nccl.conf, and the file that holds, if any.  Needs the inventory's devices and
// NUMA nodes, and `claims.pci`.
void take_nccl_files(const std::string& root, const std::map<std::string, std::string>& environment,
                     NodeInventory& inventory, LocalityClaims& claims);

}  // namespace muster::topology
