// Nodes that all differ, for programs that plan many of them.
#pragma once

#include <cstdint>
#include <string>

#include "launcher/topology/node_inventory.h"

namespace muster {

inline constexpr int kGpus = 8;

// Two packages with one to four NUMA nodes each, 8 GPUs and a network device for each of them, on
// other NUMA nodes on every machine.
inline topology::NodeInventory node_number(int number) {
  topology::NodeInventory node;
  node.hostname = "node-" + std::to_string(number);
  node.package_count = 2;
  const int numa_nodes = 2 << (number % 3);
  const int cores_per_numa = (number % 2 == 0 ? 16 : 24) + number / 3 % 7;
  const int cores = numa_nodes * cores_per_numa;
  for (int numa = 0; numa < numa_nodes; ++numa) {
    topology::NumaNode home;
    home.os_index = numa;
    home.memory_bytes = (std::uint64_t{256} << 30) + static_cast<std::uint64_t>(number);
    home.package = numa * 2 / numa_nodes;
    for (int i = 0; i < cores_per_numa; ++i) {
      topology::Core core;
      core.logical_index = numa * cores_per_numa + i;
      core.allowed_index = core.logical_index;
      core.package = home.package;
      core.numa_node = numa;
      core.l3 = core.logical_index / 8;
      core.pus = CpuSet{core.logical_index, core.logical_index + cores};
      home.cpus = home.cpus.united(core.pus);
      node.cores.push_back(core);
    }
    home.present_cpus = home.cpus;
    node.allowed = node.allowed.united(home.cpus);
    node.numa_nodes.push_back(home);
  }
  node.present = node.allowed;
  for (int i = 0; i < kGpus; ++i) {
    const auto numa = static_cast<std::size_t>((i * numa_nodes / kGpus + number) % numa_nodes);
    const topology::NumaNode& home = node.numa_nodes[numa];
    topology::Gpu gpu;
    gpu.visible_ordinal = i;
    gpu.physical_index = i;
    gpu.uuid = "GPU-" + std::to_string(number) + "-" + std::to_string(i);
    gpu.bus_id = "0000:" + std::to_string(10 + i) + ":00.0";
    gpu.numa_node = home.os_index;
    gpu.package = home.package;
    gpu.locality_source = topology::LocalitySource::kSysfs;
    node.gpus.push_back(gpu);
    topology::Nic nic;
    nic.name = "mlx5_" + std::to_string(i);
    nic.bus_id = "0000:" + std::to_string(30 + i) + ":00.0";
    nic.numa_node = home.os_index;
    nic.package = home.package;
    nic.kind = topology::NicKind::kInfiniBand;
    nic.port = 1;
    nic.state = topology::LinkState::kActive;
    node.nics.push_back(nic);
  }
  return node;
}

}  // namespace muster
