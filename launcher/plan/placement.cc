// Places the ranks of one node, step by step:
//
//   what rank_map says, word for word      mapped_ranks
//   which cores and GPUs are ours to give  free_parts
//   GPUs by count, in visible order        gpu_blocks
//   where these are at home                gpu_homes
//   ways to deal cores near them           gpu_layouts; without GPUs placement_layout
//   the best of them by its score          placement_score
//   network devices                        nic_choice
//   why                                    placement_explain
//
// GPUs come first and keep their order; CPUs follow them, never the reverse.  Whole cores only:
// hardware threads of a core never go to different ranks.  More ranks than cores is allowed unless
// the config says never; then nobody is bound, because any mask would be unfair to somebody.
// Locality that nobody could tell stays unknown: such ranks get no memory policy.
#include "launcher/plan/placement.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/core_index.h"
#include "launcher/plan/free_parts.h"
#include "launcher/plan/gpu_blocks.h"
#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/gpu_layouts.h"
#include "launcher/plan/mapped_ranks.h"
#include "launcher/plan/nic_choice.h"
#include "launcher/plan/placement_errors.h"
#include "launcher/plan/placement_explain.h"
#include "launcher/plan/placement_layout.h"
#include "launcher/plan/placement_score.h"

namespace muster::plan {
namespace {

using config::MemoryPolicy;
using topology::Core;
using topology::Gpu;
using topology::kUnknown;
using topology::NodeInventory;

constexpr int kAmd = 0x1002;  // whose partitions a process may use together

// What every candidate has in common.
struct Common {
  const NodeInventory& inventory;
  const CoreIndex& index;
  const PlacementRequest& request;
  const MappedRanks& mapped;
  std::vector<GpuBlock> blocks;  // [local rank]
};

CpuSet pus_of(const CoreLine& cores) {
  std::vector<int> pus;
  for (const Core* core : cores) {
    const std::vector<int> of_core = core->pus.to_vector();
    pus.insert(pus.end(), of_core.begin(), of_core.end());
  }
  return CpuSet::from_vector(pus);
}

// Nodes of the policy: those of the rank's GPUs where it has cores, else those of its cores; never
// one whose memory we may not use, and none where nobody knows.
std::vector<int> memory_nodes_of(const NodeInventory& inventory, const RankPlacement& rank,
                                 MemoryPolicy policy) {
  const std::set<int> own(rank.numa_nodes.begin(), rank.numa_nodes.end());
  if (policy == MemoryPolicy::kNone || own.contains(kUnknown)) return {};
  std::set<int> near;
  if (!rank.gpus.empty() && policy != MemoryPolicy::kInterleave) {
    const Homes homes = homes_of(inventory, rank.gpus);
    if (homes.numa_nodes.empty() && !is_one_place(inventory)) return {};
    for (const int node : homes.numa_nodes) {
      if (own.contains(node)) near.insert(node);
    }
  }
  const std::set<int>& wanted = near.empty() ? own : near;
  std::vector<int> nodes;
  for (const topology::NumaNode& node : inventory.numa_nodes) {
    if (wanted.contains(node.os_index) && node.memory_allowed) nodes.push_back(node.os_index);
  }
  return nodes;
}

RankPlacement numbered(const Common& common, std::size_t local_rank) {
  RankPlacement rank;
  rank.rank = static_cast<int>(local_rank);
  rank.local_rank = static_cast<int>(local_rank);
  for (const Gpu* gpu : common.blocks[local_rank]) rank.gpus.push_back(*gpu);
  return rank;
}

void set_memory(const Common& common, RankPlacement& rank) {
  const auto& mapped = common.mapped.ranks[static_cast<std::size_t>(rank.local_rank)];
  const MemoryPolicy policy = common.request.resources.memory_policy.value;
  rank.memory_nodes = mapped.memory_nodes && policy != MemoryPolicy::kNone
                          ? *mapped.memory_nodes
                          : memory_nodes_of(common.inventory, rank, policy);
  rank.memory_policy = rank.memory_nodes.empty() ? MemoryPolicy::kNone : policy;
}

// A rank on these hardware threads, whole cores or not.
RankPlacement placed_on(const Common& common, std::size_t local_rank, CpuSet cpus) {
  RankPlacement rank = numbered(common, local_rank);
  std::set<int> nodes;
  for (const CoreIndex::Part& part : common.index.parts_of(cpus)) {
    ++rank.core_count;
    if (part.whole) rank.cores.push_back(part.core->logical_index);
    nodes.insert(part.core->numa_node);
  }
  rank.cpuset = std::move(cpus);
  rank.numa_nodes.assign(nodes.begin(), nodes.end());
  set_memory(common, rank);
  return rank;
}

RankPlacement unbound(const Common& common, std::size_t local_rank, CpuSet cpus) {
  RankPlacement rank = numbered(common, local_rank);
  rank.bound = false;
  rank.cpuset = std::move(cpus);
  rank.memory_policy = MemoryPolicy::kNone;
  return rank;
}

void choose_devices(const Common& common, std::vector<RankPlacement>& ranks) {
  choose_nics(common.inventory, ranks);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (const auto& nics = common.mapped.ranks[i].nics) ranks[i].nics = *nics;
  }
}

// All ranks of the node: those that rank_map binds, and the others as the layout deals.
std::vector<RankPlacement> ranks_of(const Common& common, const Layout& layout) {
  std::vector<RankPlacement> ranks;
  std::size_t dealt = 0;
  for (std::size_t i = 0; i < common.blocks.size(); ++i) {
    const auto& cpus = common.mapped.ranks[i].cpus;
    ranks.push_back(placed_on(common, i, cpus ? *cpus : pus_of(layout.ranks[dealt++])));
  }
  choose_devices(common, ranks);
  return ranks;
}

std::string what_cores_fit(const Common& common, int count, int dealt) {
  const auto& resources = common.request.resources;
  const int fit = count / *resources.cores_per_process.value;
  std::string hint =
      dealt <= count
          ? fmt::format("set cores_per_process to {} or less, or to auto, ", count / dealt)
          : "set cores_per_process to auto, ";
  if (fit == 0 || !resources.rank_map.empty()) return hint + "or start fewer processes";
  return hint + "or " + set_processes(common.request, fit) + (fit > 1 ? " or less" : "");
}

Result<> check_cores(const Common& common, const CoreLine& cores, int dealt) {
  const auto count = static_cast<int>(cores.size());
  const auto& resources = common.request.resources;
  const auto& per_process = resources.cores_per_process;
  const int ranks = common.request.process_count.value;
  const auto allowed = static_cast<int>(common.inventory.cores.size());
  const std::string kind = count == allowed ? "allowed" : "left";
  if (per_process.value && std::int64_t{dealt} * *per_process.value > count) {
    return cannot_place(common.inventory, ranks,
                        fmt::format("cores_per_process is {}, which needs {} cores, and {} {}",
                                    *per_process.value, std::int64_t{dealt} * *per_process.value,
                                    count == 1 ? "1 is" : fmt::format("{} are", count), kind),
                        what_cores_fit(common, count, dealt), per_process.origin);
  }
  if (dealt <= count) return {};
  const auto& map = resources.rank_map;
  if (count == 0 && !map.empty()) {
    return cannot_place(
        common.inventory, ranks, fmt::format("rank_map leaves no core for {} of them", dealt),
        "give each entry its cpus, or leave some to the others", map.front().origin);
  }
  if (resources.oversubscribe.value == config::Oversubscribe::kNever) {
    return cannot_place(
        common.inventory, ranks,
        fmt::format("{} {} and oversubscribe is never", counted(count, "core"), kind),
        fmt::format("set process_count_per_node to {} or less, or oversubscribe to allow", count),
        common.request.process_count.origin);
  }
  return {};
}

// More ranks than cores.
void place_unbound(const Common& common, const CoreLine& cores, NodePlacement& placement) {
  const auto ranks = static_cast<std::int64_t>(common.blocks.size());
  const auto count = static_cast<std::int64_t>(cores.size());
  const CpuSet cpus = pus_of(cores);
  placement.oversubscribed = true;
  placement.node.layout = "unbound";
  for (std::size_t i = 0; i < common.blocks.size(); ++i) {
    const auto& mapped = common.mapped.ranks[i].cpus;
    placement.ranks.push_back(mapped ? placed_on(common, i, *mapped) : unbound(common, i, cpus));
  }
  choose_devices(common, placement.ranks);
  const std::string& hostname = common.inventory.hostname;
  placement.warnings.push_back(
      fmt::format("{} share {} of {}: they are not bound, and will be slow", counted(ranks, "rank"),
                  counted(count, "core"), hostname));
  placement.reasons.push_back(
      {"placement on " + hostname, "unbound",
       fmt::format("{} ranks are more than {}", ranks, counted(count, "core"))});
}

// "NUMA 1, 3": where ranks that are at home there alone ask for more than there is.
std::string full_nodes(const std::vector<Domain>& domains, const GpuHomes& homes, int per_rank) {
  std::vector<std::size_t> ranks(domains.size(), 0);
  for (const std::vector<int>& gpus : homes.gpus) {
    if (std::count_if(gpus.begin(), gpus.end(), [](int count) { return count > 0; }) != 1) continue;
    for (std::size_t i = 0; i < gpus.size(); ++i) ranks[i] += gpus[i] > 0 ? 1U : 0U;
  }
  CpuSet full;
  for (std::size_t i = 0; i < domains.size(); ++i) {
    const bool known = domains[i].numa_node != kUnknown;
    if (known && ranks[i] * static_cast<std::size_t>(per_rank) > domains[i].cores.size()) {
      full.insert(domains[i].numa_node);
    }
  }
  return full.empty() ? "" : "NUMA " + full.to_string();
}

std::vector<Layout> layouts_of(const Common& common, const std::vector<Domain>& domains,
                               const GpuHomes& homes, const Deal& deal);

// The most cores for each rank that the wanted layout has room for; 0: not even one.
int cores_that_fit(const Common& common, const std::vector<Domain>& domains, const GpuHomes& homes,
                   Deal deal) {
  for (int cores = *deal.cores_per_rank - 1; cores > 0; --cores) {
    deal.cores_per_rank = cores;
    if (!layouts_of(common, domains, homes, deal).empty()) return cores;
  }
  return 0;
}

// The wanted layout leaves somebody without a core, or does not know where to put them.
Failure layout_does_not_fit(const Common& common, const std::vector<Domain>& domains,
                            const GpuHomes& homes, const Deal& deal) {
  const auto& wanted = common.request.resources.layout;
  const bool strict = wanted.value == config::CoreLayout::kStrict;
  const auto& per_process = common.request.resources.cores_per_process;
  std::string hint = "set layout to best, or to balanced";
  std::string why = fmt::format("layout is {}", strict ? "strict" : "spill");
  if (homes.anybody_has_home() && !homes.everybody_has_home()) {
    why += ", and nobody knows where " + named(homes.untold) +
           (homes.untold.size() == 1 ? " is" : " are");
  } else if (per_process.value) {
    const std::string full = full_nodes(domains, homes, *per_process.value);
    const int fit = cores_that_fit(common, domains, homes, deal);
    why +=
        fmt::format(", and the NUMA nodes near the ranks have too few for cores_per_process {}{}",
                    *per_process.value, full.empty() ? "" : ": " + full);
    if (fit > 0)
      hint = fmt::format("set cores_per_process to {} or less, or layout to best or balanced", fit);
  } else {
    why += ", and a NUMA node has fewer cores than ranks that are at home there";
  }
  return cannot_place(common.inventory, common.request.process_count.value, why, std::move(hint),
                      wanted.origin);
}

PlacementScore scored(const Common& common, const std::vector<RankPlacement>& ranks) {
  const bool with_gpus = std::any_of(common.blocks.begin(), common.blocks.end(),
                                     [](const GpuBlock& block) { return !block.empty(); });
  return score_of(common.index, ranks,
                  with_gpus ? static_cast<int>(common.inventory.gpus.size()) : 0);
}

// Ranks whose GPUs are nobody knows where: as without GPUs, or all with the same number of cores,
// what does not divide left.
std::vector<Layout> layouts_without_homes(const Common& common, const std::vector<Domain>& domains,
                                          const Deal& deal) {
  std::vector<Layout> layouts = candidate_layouts(domains, deal);
  std::size_t cores = 0;
  for (const Domain& domain : domains) cores += domain.cores.size();
  const auto ranks = static_cast<std::size_t>(deal.rank_count);
  const bool with_gpus = std::any_of(common.blocks.begin(), common.blocks.end(),
                                     [](const GpuBlock& block) { return !block.empty(); });
  if (!with_gpus || deal.cores_per_rank || cores % ranks == 0 ||
      deal.wanted != config::CoreLayout::kBest) {
    return layouts;
  }
  Deal even = deal;
  even.cores_per_rank = static_cast<int>(cores / ranks);
  Layout layout = candidate_layouts(domains, even).front();
  layout.name = "even";
  layout.stopgap = true;
  layouts.push_back(std::move(layout));
  return layouts;
}

std::vector<Layout> layouts_of(const Common& common, const std::vector<Domain>& domains,
                               const GpuHomes& homes, const Deal& deal) {
  return homes.anybody_has_home() ? gpu_layouts(domains, homes, deal)
                                  : layouts_without_homes(common, domains, deal);
}

// Every candidate, and the best of them: the first among equals.  Stopgaps are forgotten that are
// not it.
std::size_t take_best(const Common& common, std::vector<Layout>& layouts,
                      NodePlacement& placement) {
  constexpr double kEqual = 1e-9;
  std::size_t taken = 0;
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    std::vector<RankPlacement> ranks = ranks_of(common, layouts[i]);
    const PlacementScore score = scored(common, ranks);
    placement.node.candidates.push_back({layouts[i].name, score});
    if (i > 0 && score.total <= placement.node.score.total + kEqual) continue;
    taken = i;
    placement.node.layout = layouts[i].name;
    placement.node.score = score;
    placement.ranks = std::move(ranks);
  }
  while (layouts.size() > taken + 1 && layouts.back().stopgap) {
    layouts.pop_back();
    placement.node.candidates.pop_back();
  }
  return taken;
}

// GPUs by rank_map's words, and those that it leaves to the other ranks.
Result<std::vector<GpuBlock>> blocks_of(const NodeInventory& inventory,
                                        const PlacementRequest& request, const MappedRanks& mapped,
                                        FreeParts& parts, bool& shared) {
  std::set<const Gpu*> taken;
  for (const MappedRank& rank : mapped.ranks) {
    if (rank.gpus) taken.insert(rank.gpus->begin(), rank.gpus->end());
  }
  GpuBlock left;
  for (const Gpu* gpu : parts.gpus) {
    if (!taken.contains(gpu)) left.push_back(gpu);
  }
  const int others = mapped.without_gpus();
  GpuBlocks dealt;
  if (others > 0) {
    MUSTER_TRY_ASSIGN(dealt, gpu_blocks(inventory, left, others, request));
  }
  shared = dealt.shared;
  std::vector<GpuBlock> blocks;
  std::size_t next = 0;
  for (const MappedRank& rank : mapped.ranks) {
    blocks.push_back(rank.gpus ? *rank.gpus : dealt.of_rank[next++]);
  }
  return blocks;
}

// CUDA gives a process one instance of a partitioned GPU, and no whole GPU beside it.
bool narrow(GpuBlock& block) {
  const auto is_instance = [](const Gpu* gpu) { return gpu->is_instance() && gpu->vendor != kAmd; };
  const auto instances = std::count_if(block.begin(), block.end(), is_instance);
  if (instances == 0 || block.size() == 1) return false;
  if (instances == static_cast<std::ptrdiff_t>(block.size())) {
    block.resize(1);
  } else {
    std::erase_if(block, is_instance);
  }
  return true;
}

// Whether any rank was dealt more than it can use.
bool narrow_all(const NodeInventory& inventory, std::vector<GpuBlock>& blocks,
                std::vector<std::string>& warnings) {
  CpuSet ranks;
  GpuBlock lost;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const GpuBlock before = blocks[i];
    if (!narrow(blocks[i])) continue;
    ranks.insert(static_cast<int>(i));
    for (const Gpu* gpu : before) {
      if (std::find(blocks[i].begin(), blocks[i].end(), gpu) == blocks[i].end()) {
        lost.push_back(gpu);
      }
    }
  }
  if (lost.empty()) return false;
  warnings.push_back(
      fmt::format("local {} {} of {} cannot use {} as well: CUDA gives a process one MIG instance, "
                  "and no whole "
                  "GPU beside it; start a process for each instance (process_count_per_node: {})",
                  ranks.count() == 1 ? "rank" : "ranks", ranks.to_string(), inventory.hostname,
                  named(lost), inventory.gpus.size()));
  return true;
}

CoreLine without_mapped(const CoreLine& cores, const MappedRanks& mapped) {
  CpuSet taken;
  for (const MappedRank& rank : mapped.ranks) {
    if (rank.cpus) taken = taken.united(*rank.cpus);
  }
  if (taken.empty()) return cores;
  CoreLine left;
  for (const Core* core : cores) {
    if (core->pus.intersection(taken).empty()) left.push_back(core);
  }
  return left;
}

void mark_shared_gpus(std::vector<RankPlacement>& ranks) {
  std::map<int, int> owners;
  for (const RankPlacement& rank : ranks) {
    for (const Gpu& gpu : rank.gpus) ++owners[gpu.visible_ordinal];
  }
  for (RankPlacement& rank : ranks) {
    rank.shares_gpus = std::any_of(rank.gpus.begin(), rank.gpus.end(),
                                   [&](const Gpu& gpu) { return owners[gpu.visible_ordinal] > 1; });
  }
}

void find_idle_gpus(const NodeInventory& inventory, NodePlacement& placement) {
  std::set<int> used;
  for (const RankPlacement& rank : placement.ranks) {
    for (const Gpu& gpu : rank.gpus) used.insert(gpu.visible_ordinal);
  }
  if (used.empty()) return;  // a run on CPUs
  for (const Gpu& gpu : inventory.gpus) {
    if (!used.contains(gpu.visible_ordinal))
      placement.node.idle_gpus.push_back(gpu.visible_ordinal);
  }
}

// How CUDA_VISIBLE_DEVICES names it: by UUID, else by the number that it has without the variable.
std::string device_name(const Gpu& gpu) {
  if (!gpu.uuid.empty()) return gpu.uuid;
  return std::to_string(gpu.physical_index != kUnknown ? gpu.physical_index : gpu.visible_ordinal);
}

// The list is needed where ranks see fewer GPUs than the node has, or in another order.
void list_visible_devices(const Common& common, const FreeParts& parts, NodePlacement& placement) {
  const auto& resources = common.request.resources;
  GpuBlock order;
  if (resources.gpu_assignment.value == config::GpuAssignment::kSpread &&
      resources.rank_map.empty()) {
    for (const GpuBlock& block : common.blocks) {
      for (const Gpu* gpu : block) {
        if (std::find(order.begin(), order.end(), gpu) == order.end()) order.push_back(gpu);
      }
    }
  }
  for (const Gpu* gpu : parts.gpus) {
    if (std::find(order.begin(), order.end(), gpu) == order.end()) order.push_back(gpu);
  }
  const auto& visible = common.inventory.gpus;
  const bool as_it_is = order.size() == visible.size() &&
                        std::equal(order.begin(), order.end(), visible.begin(),
                                   [](const Gpu* gpu, const Gpu& other) { return gpu == &other; });
  const bool no_gpus = std::all_of(common.blocks.begin(), common.blocks.end(),
                                   [](const GpuBlock& block) { return block.empty(); });
  if (as_it_is || no_gpus) return;
  for (const Gpu* gpu : order) placement.node.visible_devices.push_back(device_name(*gpu));
}

// CUDA gives a process one instance of a partitioned GPU, and that by its UUID alone.
void choose_visibility(const Common& common, NodePlacement& placement) {
  const auto& asked = common.request.resources.gpu_visibility;
  placement.node.gpu_visibility = asked.value;
  const auto& gpus = common.inventory.gpus;
  const auto instances =
      std::count_if(gpus.begin(), gpus.end(), [](const Gpu& gpu) { return gpu.is_instance(); });
  const bool none = std::all_of(common.blocks.begin(), common.blocks.end(),
                                [](const GpuBlock& block) { return block.empty(); });
  if (instances == 0 || none || asked.value == config::GpuVisibility::kOwn) return;
  // Alone on the first of nothing but instances: the one that CUDA takes by itself.
  const bool the_first = common.blocks.size() == 1 &&
                         instances == static_cast<std::ptrdiff_t>(gpus.size()) &&
                         common.blocks.front().front() == &gpus.front();
  if (the_first) return;
  const std::string& hostname = common.inventory.hostname;
  if (asked.origin.kind != config::Origin::Kind::kDefault) {
    placement.warnings.push_back(fmt::format(
        "GPUs of {} are MIG instances and gpu_visibility is all ({}): CUDA lets every rank see the "
        "first one only; leave it out, or set it to own",
        hostname, asked.origin.text));
    return;
  }
  placement.node.gpu_visibility = config::GpuVisibility::kOwn;
  placement.reasons.push_back(
      {"gpu_visibility on " + hostname, "own",
       "MIG instances: a process can use one alone, which must be the only one that it sees"});
}

// Settings of the config that rank_map leaves nothing to.
void warn_of_map(const Common& common, int dealt, NodePlacement& placement) {
  const auto& resources = common.request.resources;
  std::vector<std::string> idle;
  const auto look = [&](const char* name, const config::Origin& origin) {
    if (origin.kind != config::Origin::Kind::kDefault) {
      idle.push_back(fmt::format("{} ({})", name, origin.text));
    }
  };
  if (dealt == 0) {
    look("cores_per_process", resources.cores_per_process.origin);
    look("layout", resources.layout.origin);
    look("reserve_cores", resources.reserve_cores.origin);
  }
  if (common.mapped.without_gpus() == 0) {
    look("gpus_per_process", resources.gpus_per_process.origin);
    look("gpu_assignment", resources.gpu_assignment.origin);
  }
  if (idle.empty()) return;
  placement.warnings.push_back(
      fmt::format("rank_map gives every local rank of {} its own: {} {} no effect; leave {} out",
                  common.inventory.hostname, join(idle, " and "), idle.size() == 1 ? "has" : "have",
                  idle.size() == 1 ? "it" : "them"));
}

}  // namespace

Result<NodePlacement> place(const NodeInventory& inventory, const PlacementRequest& request) {
  MUSTER_TRY_ASSIGN(const MappedRanks mapped, mapped_ranks(inventory, request));
  const int dealt = mapped.without_cpus();
  MUSTER_TRY_ASSIGN(FreeParts parts, free_parts(inventory, request, mapped));
  bool shared = false;
  MUSTER_TRY_ASSIGN(std::vector<GpuBlock> blocks,
                    blocks_of(inventory, request, mapped, parts, shared));
  std::vector<std::string> instance_warnings;
  const bool narrowed = narrow_all(inventory, blocks, instance_warnings);
  const CoreIndex index(inventory);
  const Common common{inventory, index, request, mapped, std::move(blocks)};
  const CoreLine cores = without_mapped(parts.cores, mapped);
  MUSTER_TRY(check_cores(common, cores, dealt));

  NodePlacement placement;
  placement.reasons = parts.reasons;
  placement.warnings = parts.warnings;
  placement.warnings.insert(placement.warnings.end(), mapped.warnings.begin(),
                            mapped.warnings.end());
  placement.warnings.insert(placement.warnings.end(), instance_warnings.begin(),
                            instance_warnings.end());
  warn_of_map(common, dealt, placement);

  const std::vector<Domain> domains = domains_of(dealt == 0 ? parts.cores : cores);
  std::vector<GpuBlock> dealt_blocks;
  for (std::size_t i = 0; i < mapped.ranks.size(); ++i) {
    if (dealt == 0 || !mapped.ranks[i].cpus) dealt_blocks.push_back(common.blocks[i]);
  }
  const GpuHomes homes = gpu_homes(inventory, domains, dealt_blocks);
  std::vector<Layout> layouts;
  Decision decision{index, inventory, request, parts, domains, homes, layouts};
  decision.narrowed = narrowed;
  for (const MappedRank& rank : mapped.ranks) decision.mapped.push_back(rank.cpus.has_value());

  if (dealt == 0) {
    placement.node.layout = "rank_map";
    placement.ranks = ranks_of(common, {});
    placement.node.score = scored(common, placement.ranks);
    placement.reasons.push_back({"placement on " + inventory.hostname, "as rank_map has it",
                                 request.resources.rank_map.front().origin.text});
  } else if (dealt > static_cast<int>(cores.size())) {
    place_unbound(common, cores, placement);
    placement.node.score = scored(common, placement.ranks);
  } else {
    const Deal deal{dealt, request.resources.cores_per_process.value,
                    request.resources.layout.value};
    layouts = layouts_of(common, domains, homes, deal);
    if (layouts.empty()) return layout_does_not_fit(common, domains, homes, deal);
    decision.taken = take_best(common, layouts, placement);
    explain_cores(decision, placement);
  }

  mark_shared_gpus(placement.ranks);
  for (RankPlacement& rank : placement.ranks) {
    rank.locality = locality_of(index, rank);
    rank.why = why_there(decision, rank);
  }
  find_idle_gpus(inventory, placement);
  list_visible_devices(common, parts, placement);
  choose_visibility(common, placement);
  explain_gpus(decision, placement);
  explain_memory(decision, placement);
  return placement;
}

}  // namespace muster::plan
