// Places the ranks of one node, without GPUs in this version.
//
// Whole cores only: hardware threads of a core never go to different ranks.  More ranks than cores
// is allowed unless the config says never; then nobody is bound, because any mask would be unfair
// to somebody.  Locality that hwloc could not tell stays unknown: such ranks get no memory policy,
// and the plan says so.
#include "launcher/plan/placement.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/placement_layout.h"

namespace muster::plan {
namespace {

using config::Origin;
using topology::Core;
using topology::kUnknown;
using topology::NodeInventory;

Failure too_few(const NodeInventory& inventory, int ranks, const std::string& why, std::string hint,
                const Origin& origin) {
  return Failure(Error{ErrorCode::kResources,
                       fmt::format("cannot place {} {} on {}: {}", ranks,
                                   ranks == 1 ? "process" : "processes", inventory.hostname, why),
                       std::move(hint), origin.location});
}

Result<NodePlacement> place_oversubscribed(const NodeInventory& inventory,
                                           const PlacementRequest& request) {
  const int ranks = request.process_count.value;
  const auto cores = static_cast<std::int64_t>(inventory.cores.size());
  if (request.resources.oversubscribe.value == config::Oversubscribe::kNever) {
    return too_few(
        inventory, ranks,
        fmt::format("{} allowed and oversubscribe is never", counted(cores, "core")),
        fmt::format("set process_count_per_node to {} or less, or oversubscribe to allow", cores),
        request.process_count.origin);
  }
  NodePlacement placement;
  placement.oversubscribed = true;
  for (int i = 0; i < ranks; ++i) {
    RankPlacement rank;
    rank.rank = i;
    rank.local_rank = i;
    rank.bound = false;
    rank.cpuset = inventory.allowed;
    placement.ranks.push_back(std::move(rank));
  }
  placement.warnings.push_back(
      fmt::format("{} share {} of {}: they are not bound, and will be slow", counted(ranks, "rank"),
                  counted(cores, "core"), inventory.hostname));
  placement.reasons.push_back(
      {"placement on " + inventory.hostname, "unbound",
       fmt::format("{} ranks are more than {}", ranks, counted(cores, "core"))});
  return placement;
}

std::set<int> numa_nodes_of(const std::vector<const Core*>& cores) {
  std::set<int> nodes;
  for (const Core* core : cores) nodes.insert(core->numa_node);
  return nodes;
}

// Memory for the preferred policy: none when any core's home is unknown, and never a node whose
// memory we may not use.
std::vector<int> memory_nodes_of(const NodeInventory& inventory, const std::set<int>& nodes) {
  if (nodes.contains(kUnknown)) return {};
  std::vector<int> memory_nodes;
  for (const topology::NumaNode& node : inventory.numa_nodes) {
    if (nodes.contains(node.os_index) && node.memory_allowed) memory_nodes.push_back(node.os_index);
  }
  return memory_nodes;
}

RankPlacement placed_on(const NodeInventory& inventory, int local_rank,
                        const std::vector<const Core*>& cores) {
  RankPlacement rank;
  rank.rank = local_rank;
  rank.local_rank = local_rank;
  rank.core_count = static_cast<int>(cores.size());
  std::vector<int> pus;
  for (const Core* core : cores) {
    const std::vector<int> of_core = core->pus.to_vector();
    pus.insert(pus.end(), of_core.begin(), of_core.end());
  }
  rank.cpuset = CpuSet::from_vector(pus);
  rank.memory_nodes = memory_nodes_of(inventory, numa_nodes_of(cores));
  return rank;
}

std::string shares_text(const Layout& layout) {
  const auto [fewest, most] =
      std::minmax_element(layout.ranks.begin(), layout.ranks.end(),
                          [](const auto& a, const auto& b) { return a.size() < b.size(); });
  if (fewest->size() == most->size()) {
    return counted(static_cast<std::int64_t>(most->size()), "core") + " per rank";
  }
  return fmt::format("{} to {} cores per rank", fewest->size(), most->size());
}

// "…; scored 96.1 of 100, against 90.0 for each NUMA node shared by its own ranks"
std::string why_this_layout(const Layout& best, const std::vector<Layout>& layouts,
                            const std::vector<Domain>& domains) {
  if (domains.size() == 1) {
    return domains.front().numa_node == kUnknown ? "NUMA nodes are unknown, cores in their order"
                                                 : "all cores are in one NUMA node";
  }
  if (layouts.size() == 1) return fmt::format("{} ({} of them)", best.name, domains.size());
  std::string why = fmt::format("{}: scored {:.1f} of 100", best.name, best.score);
  for (const Layout& other : layouts) {
    if (&other == &best) continue;
    why += fmt::format(", against {:.1f} for {}", other.score, other.name);
  }
  return why;
}

void explain(const NodeInventory& inventory, const Layout& best, const std::vector<Layout>& layouts,
             const std::vector<Domain>& domains, NodePlacement& placement) {
  placement.reasons.push_back({"placement on " + inventory.hostname, shares_text(best),
                               why_this_layout(best, layouts, domains)});
  const bool unknown = std::any_of(domains.begin(), domains.end(), [](const Domain& domain) {
    return domain.numa_node == kUnknown;
  });
  if (unknown) {
    placement.reasons.push_back({"memory on " + inventory.hostname, "no policy",
                                 "the NUMA node of some cores is unknown; none is guessed"});
  }
}

}  // namespace

Result<NodePlacement> place(const NodeInventory& inventory, const PlacementRequest& request) {
  const int ranks = request.process_count.value;
  const auto cores = static_cast<int>(inventory.cores.size());
  const auto& per_process = request.resources.cores_per_process;
  if (per_process.value && std::int64_t{ranks} * *per_process.value > cores) {
    return too_few(inventory, ranks,
                   fmt::format("cores_per_process is {}, which needs {} cores, and {} allowed",
                               *per_process.value, std::int64_t{ranks} * *per_process.value,
                               cores == 1 ? "1 is" : fmt::format("{} are", cores)),
                   ranks <= cores ? fmt::format("set cores_per_process to {} or less, or to auto",
                                                cores / ranks)
                                  : "set cores_per_process to auto, or start fewer processes",
                   per_process.origin);
  }
  if (ranks > cores) return place_oversubscribed(inventory, request);

  const std::vector<Domain> domains = domains_of(inventory);
  const std::vector<Layout> layouts = candidate_layouts(domains, Deal{ranks, per_process.value});
  const Layout& best = *std::max_element(
      layouts.begin(), layouts.end(),
      [](const Layout& a, const Layout& b) { return a.score < b.score; });  // first among equals

  NodePlacement placement;
  for (const auto& cores_of_rank : best.ranks) {
    placement.ranks.push_back(
        placed_on(inventory, static_cast<int>(placement.ranks.size()), cores_of_rank));
  }
  explain(inventory, best, layouts, domains, placement);
  return placement;
}

}  // namespace muster::plan
