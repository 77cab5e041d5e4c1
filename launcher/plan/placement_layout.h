// Candidate layouts: ways to deal a node's cores to its ranks.  Each is complete and correct; the
// score says how good it is, and placement.cc takes the best.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

using CoreLine = std::vector<const topology::Core*>;  // ascending logical index

// Cores that share memory: a NUMA node, or a package where the NUMA node is unknown.
struct Domain {
  int numa_node = topology::kUnknown;
  int package = topology::kUnknown;
  CoreLine cores;
};

// Domains that have some of the cores, in the order of their first ones; unknown ones last.
std::vector<Domain> domains_of(const CoreLine& cores);

struct Layout {
  std::string name;             // "strict", "balanced", "spill"
  std::string how;              // a phrase for `muster plan`
  std::vector<CoreLine> ranks;  // [local rank]
  bool stopgap = false;         // behind the others, and told of only when it is taken
};

// What is dealt: `rank_count` shares, of `cores_per_rank` cores each or, without it, all cores.
struct Deal {
  int rank_count = 1;                 // 1 … all cores
  std::optional<int> cores_per_rank;  // rank_count * cores_per_rank ≤ all cores
  config::CoreLayout wanted = config::CoreLayout::kBest;
};

// For ranks without GPUs: at least one, in order of preference among equal scores; none when the
// wanted one leaves a rank without a core.
std::vector<Layout> candidate_layouts(const std::vector<Domain>& domains, const Deal& deal);

}  // namespace muster::plan
