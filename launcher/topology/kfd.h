// AMD's GPUs as the kernel's compute driver (KFD) numbers them, which is the order and the naming
// of ROCm's runtime.
#pragma once

#include <string>
#include <vector>

namespace muster::topology {

struct KfdNode {
  int number = 0;      // ROCm's order is theirs
  std::string bus_id;  // canonical; some kernels have a partition's number as its function
  // "GPU-4b2c1a9f8d3e6f7a", as ROCR_VISIBLE_DEVICES takes it; "" where it is untold or not one
  // node's alone.
  std::string uuid;
};

// In ROCm's order, of /sys/class/kfd below `root`; empty where there is no KFD.  A GPU that is
// partitioned (TPX, CPX) has one for each partition, all with its bus id.
std::vector<KfdNode> kfd_nodes(const std::string& root);

}  // namespace muster::topology
