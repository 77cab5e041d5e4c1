#include "launcher/plan/core_index.h"

#include <algorithm>
#include <map>

namespace muster::plan {

CoreIndex::CoreIndex(const topology::NodeInventory& inventory) : inventory_(&inventory) {
  std::map<std::pair<int, int>, int> domains;
  for (std::size_t i = 0; i < inventory.cores.size(); ++i) {
    const topology::Core& core = inventory.cores[i];
    largest_domain_ = std::max(largest_domain_, ++domains[{core.package, core.numa_node}]);
    const std::vector<int> pus = core.pus.to_vector();
    thread_count_.push_back(static_cast<int>(pus.size()));
    for (const int pu : pus) {
      const auto at = static_cast<std::size_t>(pu);
      if (at >= core_of_pu_.size()) core_of_pu_.resize(at + 1, -1);
      core_of_pu_[at] = static_cast<int>(i);
    }
  }
}

std::vector<CoreIndex::Part> CoreIndex::parts_of(const CpuSet& cpus) const {
  std::vector<int> cores;  // one for each thread
  for (const int pu : cpus.to_vector()) {
    const auto at = static_cast<std::size_t>(pu);
    if (at < core_of_pu_.size() && core_of_pu_[at] >= 0) cores.push_back(core_of_pu_[at]);
  }
  std::sort(cores.begin(), cores.end());
  std::vector<Part> parts;
  for (std::size_t first = 0; first < cores.size();) {
    std::size_t last = first;
    while (last < cores.size() && cores[last] == cores[first]) ++last;
    const auto core = static_cast<std::size_t>(cores[first]);
    const auto threads = static_cast<int>(last - first);
    parts.push_back({&inventory_->cores[core], threads, threads == thread_count_[core]});
    first = last;
  }
  return parts;
}

}  // namespace muster::plan
