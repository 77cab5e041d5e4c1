// The network devices of a node that have hardware of their own, as sysfs shows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {

// RDMA devices, one for each port, then Ethernet interfaces that belong to none of them; each kind
// by name, mlx5_2 before mlx5_10.  Locality and upstream are those of `pci`, else what sysfs has
// beside the device.  What ranks should not be given says why in `unfit`.  `root` stands before
// /sys.
std::vector<Nic> find_nics(const std::string& root, const std::vector<PciDevice>& pci);

// "mlx5_2" before "mlx5_10".
bool natural_less(std::string_view a, std::string_view b);

}  // namespace muster::topology
