// Finds out what a node has: from hwloc on the running machine, or from an hwloc XML file.
#pragma once

#include <string>

#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

struct TopologyOptions {
  std::string xml_file;  // hwloc XML, version 2 or older; "" means the machine we run on
};

// Live: the CPUs that the cgroup and our affinity mask both allow, and the cgroup's CPU quota.
// From XML: the CPUs that the file allows.  GPUs and NICs stay empty in this version.
//
// Call it live while the process has one thread: hwloc learns from the environment alone where its
// plugins are, and we hide them for the length of one call.
Result<NodeInventory> discover(const TopologyOptions& options = {});

}  // namespace muster::topology
