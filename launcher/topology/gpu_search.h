// Which GPUs a node has, whether or not a process may see them: the sources of GPUs, in order, and
// what is missing where one of them is silent.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {

struct GpuSearch {
  std::string root = "/";      // stands before /proc, /sys and /dev, for tests
  std::vector<PciDevice> pci;  // of this machine
  // The caller's.  Of it count MUSTER_NVML_LIBRARY and MUSTER_CUDA_LIBRARY, which name a library,
  // and MUSTER_GPU_TIMEOUT, in seconds; CUDA_VISIBLE_DEVICES is for visible_gpus().
  std::map<std::string, std::string> environment;
  std::chrono::milliseconds patience = std::chrono::seconds(30);  // for one library's answer
};

struct GpuFindings {
  std::vector<Gpu> gpus;  // in the order of the PCI bus; visible_ordinal counts them
  std::string source;     // "NVML 535.104.05"; "none": looked, and nothing is there
  std::vector<Note> notes;
  std::vector<int> left_out = {};  // the driver's numbers of GPUs that are there and not in `gpus`
  bool instances_known = true;     // false: without NVML, a GPU may have instances (MIG) unseen
};

// NVML; where its library is missing libcuda; where both are, /proc/driver/nvidia; GPUs of AMD and
// Intel from the PCI bus.  An instance (MIG) stands in place of its partitioned GPU.  Libraries are
// loaded in a short-lived child, and not at all where nothing speaks of an NVIDIA GPU.  From the
// main thread.
GpuFindings find_gpus(const GpuSearch& search);

}  // namespace muster::topology
