#include "launcher/topology/discover.h"

#include "launcher/topology/hwloc_source.h"
#include "launcher/topology/locality.h"
#include "launcher/topology/sysfs_pci.h"

namespace muster::topology {
namespace {

Result<NodeInventory> discover_live(const TopologyOptions& options) {
  MUSTER_TRY_ASSIGN(NodeInventory inventory, read_cpus(options.root));
  LocalityClaims claims;
  claims.pci = sysfs_pci_devices(options.root);
  settle_locality(inventory, claims);
  return inventory;
}

Result<NodeInventory> discover_recorded(const TopologyOptions& options) {
  MUSTER_TRY_ASSIGN(RecordedMachine machine, read_recorded_machine(options.xml_file));
  LocalityClaims claims;
  for (RecordedDevice& device : machine.devices) claims.pci.push_back(std::move(device.pci));
  settle_locality(machine.inventory, claims);
  return std::move(machine.inventory);
}

}  // namespace

Result<NodeInventory> discover(const TopologyOptions& options) {
  MUSTER_TRY_ASSIGN(NodeInventory inventory,
                    options.xml_file.empty() ? discover_live(options) : discover_recorded(options));
  if (inventory.cores.empty()) {
    return fail(ErrorCode::kResources,
                "no CPU of " + inventory.hostname + " may be used: its topology has CPUs " +
                    inventory.present.to_string() + " and none of them is allowed",
                "check the cpuset of the container and the affinity mask of the caller");
  }
  return inventory;
}

}  // namespace muster::topology
