// What hwloc knows of a machine: CPUs and memory of the one we run on, and also the devices of a
// recorded one.  discover() makes a node's inventory of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "launcher/topology/pci_device.h"
#include "muster/result.h"

namespace muster::topology {

// What an operating system's driver made of a PCI device: "nvml0", "mlx5_0", "eth0".
struct OsDevice {
  enum class Kind { kGpu, kCoprocessor, kNetwork, kRdma, kOther };

  Kind kind = Kind::kOther;
  std::string name;
  std::map<std::string, std::string> facts = {};  // hwloc's info: "NVIDIAUUID", "Port1State"
};

struct RecordedDevice {
  PciDevice pci;
  std::vector<OsDevice> os_devices;
};

struct RecordedMachine {
  NodeInventory inventory;  // without devices
  std::vector<RecordedDevice> devices;
  std::string exported_devices;  // devices_json of an exported machine (export.h); else ""
};

// CPUs and memory of the machine we run on: allowed is what cgroup and affinity mask both allow.
// `root` other than "/" is a recorded /proc and /sys.
Result<NodeInventory> read_cpus(const std::string& root = "/");

// Of an hwloc XML file, or of "synthetic:" and a description in hwloc's words.
Result<RecordedMachine> read_recorded_machine(const std::string& file);

// The CPUs and memory of such a file, or with "" of the machine we run on, as hwloc 2 writes XML:
// all that it knows, without devices.  Only the CPUs and NUMA nodes that are named are allowed.
Result<std::string> hwloc_xml(const std::string& file, const CpuSet& allowed, const CpuSet& memory);

}  // namespace muster::topology
