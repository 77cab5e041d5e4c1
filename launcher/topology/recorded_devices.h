// GPUs and NICs of a recorded machine: what an hwloc XML file tells of its devices.  Pure.
#pragma once

#include <vector>

#include "launcher/topology/hwloc_source.h"

namespace muster::topology {

// In the order of the driver's numbers (nvml0, rsmi0) where the file has them, else by bus id.
// Partitions of one GPU that share its bus id (AMD's TPX and CPX) are one GPU each.
std::vector<Gpu> recorded_gpus(const std::vector<RecordedDevice>& devices);

// RDMA devices, one for each port, then Ethernet interfaces without one; each kind by name.
std::vector<Nic> recorded_nics(const std::vector<RecordedDevice>& devices);

}  // namespace muster::topology
