// Which cores the hardware threads of a set belong to, without asking every core for them.
#pragma once

#include <vector>

#include "base/cpu_set.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// Points into the inventory.
class CoreIndex {
 public:
  explicit CoreIndex(const topology::NodeInventory& inventory);

  // A core that a set has hardware threads of, and how many.
  struct Part {
    const topology::Core* core;
    int threads;
    bool whole;  // all that we may use
  };

  // By logical index.  Threads that are of no allowed core are left out.
  std::vector<Part> parts_of(const CpuSet& cpus) const;

  const topology::NodeInventory& inventory() const { return *inventory_; }
  int largest_domain() const { return largest_domain_; }  // cores of (package, NUMA node)

 private:
  const topology::NodeInventory* inventory_;
  std::vector<int> core_of_pu_;  // positions in the inventory; -1: none
  std::vector<int> thread_count_;
  int largest_domain_ = 1;
};

}  // namespace muster::plan
