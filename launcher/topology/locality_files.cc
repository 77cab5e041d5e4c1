#include "launcher/topology/locality_files.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/files.h"
#include "launcher/topology/nccl_files.h"

namespace muster::topology {
namespace {

constexpr std::size_t kLargestOverride = std::size_t{4} << 20U;  // its parser refuses less, by name

void add_notes(std::vector<Note> notes, NodeInventory& inventory) {
  std::move(notes.begin(), notes.end(), std::back_inserter(inventory.notes));
}

const PciDevice* find(const std::vector<PciDevice>& pci, const std::string& bus_id) {
  const auto found = std::find_if(pci.begin(), pci.end(),
                                  [&](const PciDevice& device) { return device.bus_id == bus_id; });
  return found == pci.end() ? nullptr : &*found;
}

// GPUs as the kernel alone has them, for the comparison with the file.
NodeInventory as_the_kernel_says(NodeInventory inventory, const std::vector<PciDevice>& pci) {
  for (auto* gpus : {&inventory.gpus, &inventory.hidden_gpus}) {
    for (Gpu& gpu : *gpus) {
      const PciDevice* device = find(pci, gpu.bus_id);
      if (device == nullptr || device->locality.numa_node == kUnknown) continue;
      gpu.numa_node = device->locality.numa_node;
      gpu.locality_source = device->locality.source;
    }
  }
  return inventory;
}

// Bridges that the file has and the kernel does not see, behind which a GPU and its NIC are near.
template <typename Device>
void take_upstream(const NcclTopology& topology, const std::vector<PciDevice>& pci,
                   Device& device) {
  const PciDevice* seen = find(pci, device.bus_id);
  if (!device.upstream.empty() || (seen != nullptr && !seen->upstream.empty())) return;
  if (const NcclDevice* placed = topology.find(device.bus_id)) device.upstream = placed->upstream;
}

}  // namespace

Result<> take_override_file(const std::string& file, NodeInventory& inventory,
                            LocalityClaims& claims) {
  if (file.empty()) return {};
  auto text = read_regular_file(file, kLargestOverride);
  if (!text) {
    Error error = std::move(text).error();
    error.code = ErrorCode::kConfig;
    return Failure(std::move(error)
                       .with_context("cannot use the override file " + file)
                       .with_hint("--topology-override or MUSTER_TOPOLOGY_OVERRIDE names it"));
  }
  MUSTER_TRY_ASSIGN(const TopologyOverride said, parse_topology_override(*text, file));
  MUSTER_TRY_ASSIGN(std::vector<Note> notes, check_topology_override(said, inventory));
  add_notes(std::move(notes), inventory);
  for (const auto* gpus : {&inventory.gpus, &inventory.hidden_gpus}) {
    for (const Gpu& gpu : *gpus) {
      const DeviceOverride* device = said.find(gpu);
      if (device == nullptr || !device->numa_node) continue;
      claims.override_gpus[gpu.uuid.empty() ? gpu.bus_id : gpu.uuid] = *device->numa_node;
    }
  }
  for (const Nic& nic : inventory.nics) {
    const DeviceOverride* device = said.find(nic);
    if (device != nullptr && device->numa_node) {
      claims.override_nics[nic.name] = *device->numa_node;
    }
  }
  apply_usability(said, inventory.nics);
  return {};
}

void take_nccl_files(const std::string& root, const std::map<std::string, std::string>& environment,
                     NodeInventory& inventory, LocalityClaims& claims) {
  NcclFindings found =
      find_nccl_topology(root, environment, as_the_kernel_says(inventory, claims.pci));
  inventory.nccl_settings = std::move(found.settings);
  inventory.nccl_file = std::move(found.file);
  add_notes(std::move(found.notes), inventory);
  if (!found.topology) return;
  for (const NcclDevice& device : found.topology->devices) {
    claims.nccl_file[device.bus_id] = device.numa_node;
  }
  for (Gpu& gpu : inventory.gpus) take_upstream(*found.topology, claims.pci, gpu);
  for (Gpu& gpu : inventory.hidden_gpus) take_upstream(*found.topology, claims.pci, gpu);
  for (Nic& nic : inventory.nics) take_upstream(*found.topology, claims.pci, nic);
}

}  // namespace muster::topology
