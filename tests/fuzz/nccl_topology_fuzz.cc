// parse_nccl_topology(): whatever a file of that name holds, and the comparison with a machine.

#include "launcher/topology/nccl_topology.h"
#include "launcher/topology/pci_device.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster;

// Two NUMA nodes of 48 CPUs with a GPU each: the first two of an ND H100 v5.
topology::NodeInventory two_gpus() {
  topology::NodeInventory node;
  for (int index = 0; index < 2; ++index) {
    topology::NumaNode numa;
    numa.os_index = index;
    for (int cpu = 48 * index; cpu < 48 * (index + 1); ++cpu) numa.present_cpus.insert(cpu);
    node.numa_nodes.push_back(numa);
    topology::Gpu gpu;
    gpu.bus_id = index == 0 ? "0001:00:00.0" : "0008:00:00.0";
    gpu.numa_node = 0;
    gpu.locality_source = topology::LocalitySource::kSysfs;
    node.gpus.push_back(gpu);
  }
  return node;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto topology = topology::parse_nccl_topology(fuzz::text_of(data, size), "topo.xml");
  if (!topology) {
    fuzz::require(!topology.error().hint.empty(), "a refusal has a hint");
    fuzz::require(topology.error().location.has_value(), "a refusal has a place");
    for (const char c : topology.error().message) {
      const auto byte = static_cast<unsigned char>(c);
      fuzz::require((byte >= 0x20 && byte != 0x7f) || c == '\t',
                    "a message has no control characters");
    }
    return 0;
  }
  fuzz::require(!topology->cpus.empty(), "a topology has CPUs");
  for (const auto& device : topology->devices) {
    fuzz::require(topology::canonical_bus_id(device.bus_id) == device.bus_id, "ids are canonical");
    fuzz::require(device.upstream.size() <= 32, "the depth is bounded");
    fuzz::require(topology->find(device.bus_id) != nullptr, "a device is found");
  }
  static const topology::NodeInventory node = two_gpus();
  if (topology::why_it_does_not_hold(*topology, node).empty()) {
    for (const auto& gpu : node.gpus) {
      const auto* placed = topology->find(gpu.bus_id);
      fuzz::require(placed != nullptr && placed->numa_node >= 0, "what holds places every GPU");
    }
    static_cast<void>(topology::contradictions(*topology, node));
  }
  return 0;
}
