// Which of a node's GPUs a process sees, and in which order: what LOCAL_RANK counts.  Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

struct VisibleGpus {
  std::vector<Gpu> visible;  // in visible order; visible_ordinal counts them
  std::vector<Gpu> hidden;   // ordinal kUnknown, hidden_because says why
  std::vector<Note> notes;
};

// What is known of the GPUs beside the list of them; see GpuFindings.
struct GpuKnowledge {
  std::vector<int> left_out = {};  // the driver's numbers of GPUs that the list lacks
  bool instances_known = true;
};

// By CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER for NVIDIA's, by ROCR_VISIBLE_DEVICES and
// HIP_VISIBLE_DEVICES for AMD's.  `all` is in the order of the PCI bus, an instance (MIG) in place
// of its GPU.  An integer or UUID that names a partitioned GPU stands for all of its instances.
// Where instances are not known, one that is listed by name is taken at its word.
VisibleGpus visible_gpus(std::vector<Gpu> all,
                         const std::map<std::string, std::string>& environment,
                         const GpuKnowledge& knowledge = {});

}  // namespace muster::topology
