// The NCCL topology file of an Azure ND A100 v4, and the machine that it is of.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "base/files.h"
#include "launcher/topology/node_inventory.h"

namespace muster::test {

inline std::string nd_a100_v4_file() {
  return read_file(std::string(MUSTER_TEST_DATA) + "/nccl/nd-a100-v4.xml").value_or("");
}

// Four NUMA nodes of 24 CPUs; the kernel does not say where its eight GPUs are.
inline topology::NodeInventory nd_a100_v4() {
  topology::NodeInventory node;
  node.hostname = "nd-a100-v4";
  for (int index = 0; index < 4; ++index) {
    topology::NumaNode numa;
    numa.os_index = index;
    for (int cpu = index * 24; cpu < (index + 1) * 24; ++cpu) numa.present_cpus.insert(cpu);
    numa.cpus = numa.present_cpus;
    node.numa_nodes.push_back(numa);
  }
  int ordinal = 0;
  for (const char* domain : {"0001", "0002", "0003", "0004", "000b", "000c", "000d", "000e"}) {
    topology::Gpu gpu;
    gpu.visible_ordinal = ordinal++;
    gpu.uuid = std::string("GPU-") + domain;
    gpu.bus_id = std::string(domain) + ":00:00.0";
    gpu.model = "NVIDIA A100-SXM4-40GB";
    node.gpus.push_back(gpu);
  }
  return node;
}

// With the first `from` replaced, which must be there.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) {
    ADD_FAILURE() << "no " << from;
    return text;
  }
  return text.replace(at, from.size(), to);
}

}  // namespace muster::test
