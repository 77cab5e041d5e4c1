// The display, network and RDMA devices on the PCI bus, as the kernel lists them.
#pragma once

#include <string>
#include <vector>

#include "launcher/topology/pci_device.h"

namespace muster::topology {

// Ascending by bus id; empty where /sys cannot be read.  `root` stands before /sys.
std::vector<PciDevice> sysfs_pci_devices(const std::string& root = "/");

}  // namespace muster::topology
