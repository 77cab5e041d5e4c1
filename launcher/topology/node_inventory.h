// What one node has and may use, as plain data: the input of planning.
//
// Every index says which index space it is in.  Only launcher/topology talks to hwloc; nothing else
// converts between hwloc's logical numbers and the kernel's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/cpu_set.h"

namespace muster::topology {

inline constexpr int kUnknown = -1;  // locality that nobody could tell; never silently node 0

struct Core {
  int logical_index = 0;     // hwloc logical index among all cores of the machine
  int package = kUnknown;    // OS index of the package (socket)
  int numa_node = kUnknown;  // OS index of the NUMA node
  int l3 = kUnknown;         // hwloc logical index of the L3 cache
  CpuSet pus;                // OS indexes of its hardware threads that we may use; never empty
};

struct NumaNode {
  int os_index = 0;
  std::uint64_t memory_bytes = 0;  // 0: unknown
  CpuSet cpus;  // allowed PUs near it, OS indexes; may be empty (GPU memory, CXL)
};

struct Gpu {
  int visible_ordinal = 0;  // position in the visible list, what LOCAL_RANK indexes
  std::string uuid;
  std::string bus_id;
  int numa_node = kUnknown;
  std::string model;
};

struct Nic {
  std::string name;
  std::string bus_id;
  int numa_node = kUnknown;
};

struct NodeInventory {
  std::string hostname;
  std::vector<Core> cores;           // allowed ones only, ascending logical index
  std::vector<NumaNode> numa_nodes;  // ascending OS index
  std::vector<Gpu> gpus;             // visible order
  std::vector<Nic> nics;
  int package_count = 0;
  CpuSet allowed;                   // PUs: cgroup cpuset ∩ affinity mask, OS indexes
  CpuSet present;                   // PUs of the whole machine, OS indexes
  std::optional<double> cpu_quota;  // CPUs worth of time that the cgroup grants; nullopt: no limit
  std::string source;               // "hwloc 2.9.0, live" or the XML file's name
};

}  // namespace muster::topology
