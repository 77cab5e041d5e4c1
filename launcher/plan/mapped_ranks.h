// resources.rank_map on a node: what it says of each local rank, checked against what is there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::plan {

struct MappedRank {
  std::optional<CpuSet> cpus;
  std::optional<GpuBlock> gpus;
  std::optional<std::vector<int>> memory_nodes;
  std::optional<std::vector<std::string>> nics;
  std::string origin;  // "run.yaml:12:5"
};

struct MappedRanks {
  std::vector<MappedRank> ranks;  // one for each local rank; all empty without a rank_map
  std::vector<std::string> warnings;

  int without_cpus() const;
  int without_gpus() const;
};

// Fails with kConfig when entries and ranks differ in number, with kResources when an entry names
// what the node does not have or does not allow.
Result<MappedRanks> mapped_ranks(const topology::NodeInventory& inventory,
                                 const PlacementRequest& request);

}  // namespace muster::plan
