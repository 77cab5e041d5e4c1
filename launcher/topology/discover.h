// Finds out what a node has: CPUs and memory, GPUs, NICs, and where each of them is.
//
// Live from hwloc, sysfs and the drivers; or from a recorded machine (an hwloc XML file), for which
// nothing of the machine that we run on counts.
#pragma once

#include <map>
#include <string>

#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

struct TopologyOptions {
  // hwloc XML, version 2 or older, or "synthetic:" and hwloc's words; "" means the machine we run
  // on.
  std::string xml_file;
  std::string gpus_file = {};      // JSON: the GPUs of a machine whose XML has none
  std::string override_file = {};  // the user's word on where devices are
  std::map<std::string, std::string> environment = {};  // the caller's: CUDA_VISIBLE_DEVICES, …
  std::string root = "/";  // stands before /proc, /sys, /dev and /etc, for tests
};

// Live: the CPUs that the cgroup and our affinity mask both allow, and the cgroup's CPU quota.
// From a file: the CPUs that it allows, and the devices that it has.
//
// Call it live while the process has one thread: hwloc learns from the environment alone where its
// plugins are, and we hide them for the length of one call.
Result<NodeInventory> discover(const TopologyOptions& options = {});

}  // namespace muster::topology
