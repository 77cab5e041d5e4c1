// Candidate layouts: ways to deal a node's cores to its ranks.  Each is complete and correct; the
// score says how good it is, and placement.cc takes the best.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// Cores that share memory: a NUMA node, or a package where the NUMA node is unknown.
struct Domain {
  int numa_node = topology::kUnknown;
  int package = topology::kUnknown;
  std::vector<const topology::Core*> cores;  // ascending logical index
};

// Domains with allowed cores, ascending by NUMA node; unknown ones last.  Points into `inventory`.
std::vector<Domain> domains_of(const topology::NodeInventory& inventory);

struct Layout {
  std::string name;                                       // a phrase for `muster plan`
  std::vector<std::vector<const topology::Core*>> ranks;  // [local rank]
  double score = 0;                                       // 0..100, comparable on one machine
};

// What is dealt: `share_count` shares, of `cores_per_rank` cores each or, without it, all cores.
struct Deal {
  int rank_count = 1;                 // 1 … all cores
  std::optional<int> cores_per_rank;  // rank_count * cores_per_rank ≤ all cores
};

// At least one, in order of preference among equal scores, scored.
std::vector<Layout> candidate_layouts(const std::vector<Domain>& domains, const Deal& deal);

}  // namespace muster::plan
