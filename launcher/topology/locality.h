// Where devices are, when several tell: pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {

// What each source says, besides what GPUs and NICs already have in them.
struct LocalityClaims {
  std::map<std::string, int> override_gpus;  // by bus id (canonical) or UUID → NUMA node
  std::map<std::string, int> override_nics;  // by name
  std::map<std::string, int> nccl_file;      // by bus id; only of a file that holds
  std::vector<PciDevice> pci;                // sysfs's, or an hwloc XML file's
};

// The most trusted of `told` (their order) that names a NUMA node which the machine has; else the
// machine's only node with CPUs; else unknown, perhaps with a package.
Locality settle(const std::vector<Locality>& told, const NodeInventory& machine);

// Fills numa_node, package and locality_source of all GPUs (also hidden ones) and NICs, and of
// `upstream` what is empty; appends a Note for whatever stays unknown or was not believed.
void settle_locality(NodeInventory& inventory, const LocalityClaims& claims);

}  // namespace muster::topology
