// Small inventories with GPUs for tests of placement, made by hand: cores and NUMA nodes numbered
// as Linux does on such machines, every sibling `cores` above its core.
#pragma once

#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::plan {

struct MachineShape {
  int packages = 2;
  int numa_per_package = 1;
  int cores_per_numa = 8;
  bool siblings = false;
  std::vector<int> gpu_numa = {};  // [visible ordinal]; kUnknown: nobody knows
};

inline topology::NodeInventory gpu_machine(const MachineShape& shape) {
  topology::NodeInventory node;
  node.hostname = "node-a";
  node.package_count = shape.packages;
  const int numa_nodes = shape.packages * shape.numa_per_package;
  const int cores = numa_nodes * shape.cores_per_numa;
  for (int numa = 0; numa < numa_nodes; ++numa) {
    topology::NumaNode memory;
    memory.os_index = numa;
    memory.package = numa / shape.numa_per_package;
    memory.memory_bytes = std::uint64_t{64} << 30;
    for (int other = 0; other < numa_nodes; ++other) {
      const bool same_package = other / shape.numa_per_package == memory.package;
      memory.distances.push_back(other == numa ? 10 : same_package ? 12 : 32);
    }
    for (int i = 0; i < shape.cores_per_numa; ++i) {
      topology::Core core;
      core.logical_index = numa * shape.cores_per_numa + i;
      core.package = memory.package;
      core.numa_node = numa;
      core.l3 = numa;
      core.pus.insert(core.logical_index);
      if (shape.siblings) core.pus.insert(cores + core.logical_index);
      memory.cpus = memory.cpus.united(core.pus);
      node.cores.push_back(std::move(core));
    }
    memory.present_cpus = memory.cpus;
    node.allowed = node.allowed.united(memory.cpus);
    node.numa_nodes.push_back(std::move(memory));
  }
  node.present = node.allowed;
  for (std::size_t i = 0; i < shape.gpu_numa.size(); ++i) {
    topology::Gpu gpu;
    gpu.visible_ordinal = static_cast<int>(i);
    gpu.physical_index = gpu.visible_ordinal;
    gpu.uuid = "GPU-" + std::to_string(i);
    gpu.bus_id = "0000:0" + std::to_string(i) + ":00.0";
    gpu.numa_node = shape.gpu_numa[i];
    if (gpu.numa_node != topology::kUnknown) gpu.package = gpu.numa_node / shape.numa_per_package;
    node.gpus.push_back(std::move(gpu));
  }
  return node;
}

// An RDMA device with an active port.
inline topology::Nic rdma_device(const std::string& name, int numa_node,
                                 const std::vector<std::string>& upstream = {}) {
  topology::Nic nic;
  nic.name = name;
  nic.numa_node = numa_node;
  nic.kind = topology::NicKind::kInfiniBand;
  nic.port = 1;
  nic.state = topology::LinkState::kActive;
  nic.upstream = upstream;
  return nic;
}

// Leaves the cores of these NUMA nodes to nobody, as a cpuset does.
inline void disallow(topology::NodeInventory& node, const std::vector<int>& numa_nodes) {
  for (const int numa : numa_nodes) {
    std::erase_if(node.cores, [&](const auto& core) { return core.numa_node == numa; });
    node.numa_nodes[static_cast<std::size_t>(numa)].cpus = {};
  }
  node.allowed = {};
  for (const auto& core : node.cores) node.allowed = node.allowed.united(core.pus);
}

}  // namespace muster::plan
