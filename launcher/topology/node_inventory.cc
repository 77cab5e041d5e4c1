#include "launcher/topology/node_inventory.h"

namespace muster::topology {

NodeInventory::NodeInventory() = default;
NodeInventory::NodeInventory(const NodeInventory&) = default;
NodeInventory::NodeInventory(NodeInventory&&) noexcept = default;
NodeInventory& NodeInventory::operator=(const NodeInventory&) = default;
NodeInventory& NodeInventory::operator=(NodeInventory&&) noexcept = default;
NodeInventory::~NodeInventory() = default;

const char* to_string(LocalitySource source) {
  switch (source) {
    case LocalitySource::kNobody: return "unknown";
    case LocalitySource::kOverride: return "override file";
    case LocalitySource::kGpusFile: return "--gpus file";
    case LocalitySource::kNcclFile: return "NCCL topology file";
    case LocalitySource::kSysfs: return "sysfs";
    case LocalitySource::kNvml: return "NVML";
    case LocalitySource::kHwloc: return "hwloc";
    case LocalitySource::kOnlyNode: return "only NUMA node";
  }
  return "";
}

const char* to_string(NicKind kind) {
  switch (kind) {
    case NicKind::kEthernet: return "Ethernet";
    case NicKind::kInfiniBand: return "InfiniBand";
    case NicKind::kRoce: return "RoCE";
    case NicKind::kEfa: return "EFA";
    case NicKind::kOther: return "other";
  }
  return "";
}

const char* to_string(LinkState state) {
  switch (state) {
    case LinkState::kUntold: return "unknown";
    case LinkState::kActive: return "active";
    case LinkState::kDown: return "down";
  }
  return "";
}

}  // namespace muster::topology
