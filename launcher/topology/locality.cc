#include "launcher/topology/locality.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace muster::topology {
namespace {

constexpr const char* kHint =
    "say where they are in a file: gpus: {BUS_ID: {numa_node: N}}, nics: {NAME: {numa_node: N}}, "
    "named by MUSTER_TOPOLOGY_OVERRIDE";

const NumaNode* find_node(const NodeInventory& machine, int os_index) {
  const auto found = std::find_if(machine.numa_nodes.begin(), machine.numa_nodes.end(),
                                  [&](const NumaNode& node) { return node.os_index == os_index; });
  return found == machine.numa_nodes.end() ? nullptr : &*found;
}

// A GPU's own memory, or CXL: no core is near it, whatever we may use.
bool is_memory_only(const NumaNode& node) {
  return node.present_cpus.empty() && node.cpus.empty();
}

// The one node that CPUs are near; GPU memory and CXL beside it make no second home.
const NumaNode* only_node(const NodeInventory& machine) {
  const NumaNode* only = nullptr;
  for (const NumaNode& node : machine.numa_nodes) {
    if (is_memory_only(node)) continue;
    if (only != nullptr) return nullptr;
    only = &node;
  }
  return only;
}

std::optional<int> value_of(const std::map<std::string, int>& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() || key.empty() ? std::nullopt : std::optional(found->second);
}

void add(std::vector<Locality>& told, std::optional<int> node, LocalitySource source) {
  if (node) told.push_back({*node, kUnknown, source});
}

// One device's settling, GPU or NIC.
class Settling {
 public:
  Settling(NodeInventory& inventory, const LocalityClaims& claims)
      : inventory_(inventory), claims_(claims) {
    for (const PciDevice& device : claims.pci) by_bus_id_[device.bus_id] = &device;
  }

  template <typename Device>
  void settle_one(Device& device, std::optional<int> override_node, const std::string& name) {
    const Locality own{device.numa_node, device.package, device.locality_source};
    std::vector<Locality> told;
    add(told, override_node, LocalitySource::kOverride);
    const bool by_user =
        own.source == LocalitySource::kOverride || own.source == LocalitySource::kGpusFile;
    if (by_user) told.push_back(own);
    add(told, value_of(claims_.nccl_file, device.bus_id), LocalitySource::kNcclFile);
    if (const auto found = by_bus_id_.find(device.bus_id); found != by_bus_id_.end()) {
      // Of a recorded machine: where an object above it is says less than the driver did.
      if (own.source == LocalitySource::kNvml &&
          found->second->locality.source == LocalitySource::kHwloc) {
        told.push_back(own);
      }
      told.push_back(found->second->locality);
      if (device.upstream.empty()) device.upstream = found->second->upstream;
    }
    told.push_back(own);
    const Locality settled = settle(told, inventory_);
    device.numa_node = settled.numa_node;
    device.package = settled.package;
    device.locality_source = settled.source;
    note_disbelief(told, name);
  }

 private:
  // A node that the machine does not have, as broken firmware and stale files name them.
  void note_disbelief(const std::vector<Locality>& told, const std::string& name) {
    std::set<std::pair<LocalitySource, int>> said;
    for (const Locality& claim : told) {
      if (claim.numa_node == kUnknown) continue;
      const NumaNode* node = find_node(inventory_, claim.numa_node);
      if (node != nullptr && !is_memory_only(*node)) continue;
      if (!said.emplace(claim.source, claim.numa_node).second) continue;
      inventory_.notes.push_back(
          {Note::Kind::kWarning, "locality",
           fmt::format("{} is on NUMA node {} by {}, and {}: ignored", name, claim.numa_node,
                       to_string(claim.source),
                       node == nullptr ? "this machine has no such node"
                                       : "that node is memory without CPUs"),
           claim.source == LocalitySource::kOverride   ? "mend the override file"
           : claim.source == LocalitySource::kGpusFile ? "mend the file that --gpus names"
                                                       : ""});
    }
  }

  NodeInventory& inventory_;
  const LocalityClaims& claims_;
  std::map<std::string, const PciDevice*> by_bus_id_;
};

std::string name_of(const Gpu& gpu) {
  if (!gpu.bus_id.empty()) return "GPU " + gpu.bus_id;
  return gpu.uuid.empty() ? "a GPU" : "GPU " + gpu.uuid;
}

template <typename Device, typename Name>
std::vector<std::string> unplaced(const std::vector<Device>& devices, Name name) {
  std::vector<std::string> names;
  for (const Device& device : devices) {
    if (device.numa_node == kUnknown) names.push_back(name(device));
  }
  return names;
}

void note_unknown(NodeInventory& inventory) {
  const auto gpus = unplaced(
      inventory.gpus, [](const Gpu& gpu) { return gpu.bus_id.empty() ? gpu.uuid : gpu.bus_id; });
  if (!gpus.empty()) {
    inventory.notes.push_back(
        {Note::Kind::kWarning, "locality",
         fmt::format("nobody tells which NUMA node {} near ({}): {} cores are shared out evenly",
                     gpus.size() == 1 ? "a GPU is" : counted(std::ssize(gpus), "GPU") + " are",
                     join(gpus, ", "), gpus.size() == 1 ? "its" : "their"),
         kHint});
  }
  const auto nics = unplaced(inventory.nics, [](const Nic& nic) { return nic.name; });
  if (!nics.empty()) {
    inventory.notes.push_back({Note::Kind::kInfo, "locality",
                               "nobody tells which NUMA node is near " + join(nics, ", "), kHint});
  }
}

// A GPU whose near CPUs a cpuset or an affinity mask keeps from us.
void note_out_of_reach(NodeInventory& inventory) {
  std::map<int, std::vector<std::string>> by_node;
  for (const Gpu& gpu : inventory.gpus) {
    const NumaNode* node = find_node(inventory, gpu.numa_node);
    if (node == nullptr || !node->cpus.empty()) continue;
    by_node[gpu.numa_node].push_back(std::to_string(gpu.visible_ordinal));
  }
  for (const auto& [node, gpus] : by_node) {
    inventory.notes.push_back(
        {Note::Kind::kInfo, "locality",
         fmt::format("GPU {} on NUMA node {}, of which this process may use no CPU",
                     join(gpus, ", ") + (gpus.size() == 1 ? " is" : " are"), node),
         "widen the cpuset or the affinity mask, or choose other GPUs by CUDA_VISIBLE_DEVICES"});
  }
}

}  // namespace

Locality settle(const std::vector<Locality>& told, const NodeInventory& machine) {
  for (const Locality& claim : told) {
    if (claim.numa_node == kUnknown) continue;
    const NumaNode* node = find_node(machine, claim.numa_node);
    if (node == nullptr || is_memory_only(*node)) continue;
    return {claim.numa_node, node->package != kUnknown ? node->package : claim.package,
            claim.source};
  }
  if (const NumaNode* only = only_node(machine)) {
    return {only->os_index, only->package, LocalitySource::kOnlyNode};
  }
  Locality unknown;
  for (const Locality& claim : told) {
    if (claim.package != kUnknown && unknown.package == kUnknown) unknown.package = claim.package;
  }
  return unknown;
}

void settle_locality(NodeInventory& inventory, const LocalityClaims& claims) {
  Settling settling(inventory, claims);
  for (std::vector<Gpu>* gpus : {&inventory.gpus, &inventory.hidden_gpus}) {
    for (Gpu& gpu : *gpus) {
      auto node = value_of(claims.override_gpus, gpu.uuid);
      if (!node) node = value_of(claims.override_gpus, gpu.parent_uuid);
      if (!node) node = value_of(claims.override_gpus, gpu.bus_id);
      settling.settle_one(gpu, node, name_of(gpu));
    }
  }
  for (Nic& nic : inventory.nics) {
    settling.settle_one(nic, value_of(claims.override_nics, nic.name), nic.name);
  }
  note_unknown(inventory);
  note_out_of_reach(inventory);
}

}  // namespace muster::topology
