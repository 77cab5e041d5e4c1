// One function on the PCI bus, as sysfs or an hwloc XML file has it: what GPUs and NICs are found
// among, and where their locality comes from when nobody knows better.
#pragma once

#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

struct PciDevice {
  std::string bus_id;    // "0001:00:00.0": domain of four digits or more, small letters
  int device_class = 0;  // class and subclass: 0x0302 is a 3D controller
  int vendor = 0;        // 0x10de NVIDIA, 0x1002 AMD, 0x8086 Intel
  int device = 0;
  Locality locality = {};                  // as the kernel or hwloc tells it
  std::vector<std::string> upstream = {};  // bus ids of the bridges above it, outermost first
  std::string physical_function = {};      // bus id; "" unless it is a virtual function
  std::vector<std::string> names = {};     // of its OS devices: "nvml0", "mlx5_0", "eth0"
};

// "1:0:0.0", "00000001:00:00.0" (NVML's) and "0001:00:00.0" are one device, "07:00.0" (lspci's) is
// in domain 0; "" for anything else.
std::string canonical_bus_id(const std::string& text);

// By number, not by letters: domain 10000 comes after ffff.
bool bus_order(const std::string& a, const std::string& b);

// By class alone, before anything else of a device is read.
bool may_be_gpu(int device_class);
bool may_be_nic(int device_class);

// GPUs of the vendors that make them; not a BMC's VGA, not an NVSwitch, not Intel's graphics inside
// the processor.
bool is_gpu(const PciDevice& device);

}  // namespace muster::topology
