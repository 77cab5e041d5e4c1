// AMD's GPUs as the kernel's compute driver (KFD) numbers them, which is the order and the naming
// of ROCm's runtime.
#pragma once

#include <map>
#include <string>

namespace muster::topology {

struct KfdNode {
  int number = 0;    // ROCm's order is theirs
  std::string uuid;  // "GPU-4b2c1a9f8d3e6f7a", as ROCR_VISIBLE_DEVICES takes it; "" untold
};

// By bus id (canonical), of /sys/class/kfd below `root`; empty where there is no KFD.  A GPU that
// is partitioned has several nodes, of which the first is kept.
std::map<std::string, KfdNode> kfd_nodes(const std::string& root);

}  // namespace muster::topology
