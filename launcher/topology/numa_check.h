// Whether NUMA nodes, packages and cores fit together, as those of some virtual machines do not.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

// The CPUs of each NUMA node in the kernel's words, by OS index; empty where /sys has none.
std::map<int, CpuSet> numa_cpus_of_kernel(const std::string& root = "/");

// hwloc leaves out what does not nest.  Memory follows the kernel's NUMA nodes, hardware threads
// follow their cores: nodes get the CPUs that the kernel gives them, and cores their nodes anew.
void trust_numa_cpus(const std::map<int, CpuSet>& by_node, NodeInventory& inventory);

// What a person may want to know of this machine's memory and CPUs.
std::vector<Note> numa_notes(const NodeInventory& inventory);

}  // namespace muster::topology
