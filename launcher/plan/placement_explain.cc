#include "launcher/plan/placement_explain.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/gpu_blocks.h"
#include "launcher/plan/placement_errors.h"
#include "launcher/plan/placement_score.h"

namespace muster::plan {
namespace {

using config::GpuAssignment;
using config::Origin;
using topology::Gpu;
using topology::kUnknown;
using topology::NodeInventory;

std::string range_text(std::size_t fewest, std::size_t most, std::string_view thing) {
  if (fewest == most) return counted(static_cast<std::int64_t>(most), thing) + " per rank";
  return fmt::format("{} to {} {}s per rank", fewest, most, thing);
}

std::string numa_text(const std::set<int>& nodes) {
  CpuSet known;
  for (const int node : nodes) {
    if (node != kUnknown) known.insert(node);
  }
  return known.empty() ? "" : "NUMA " + known.to_string();
}

GpuBlock pointers(const std::vector<Gpu>& gpus) {
  GpuBlock block;
  for (const Gpu& gpu : gpus) block.push_back(&gpu);
  return block;
}

// "each NUMA node shared by its own ranks: scored 92.5 of 100, against 85.0 for …"
std::string why_this_layout(const Decision& decision, const NodePlacement& placement) {
  const auto& layouts = decision.layouts;
  const Layout& best = layouts[decision.taken];
  const auto& domains = decision.domains;
  const auto& wanted = decision.request.resources.layout;
  const auto& candidates = placement.node.candidates;
  const bool with_gpus = decision.homes.anybody_has_home();
  if (wanted.value != config::CoreLayout::kBest) {
    return fmt::format("{}, as {} asks: scored {:.1f} of 100", best.how, wanted.origin.text,
                       placement.node.score.total);
  }
  if (domains.size() == 1) {
    return domains.front().numa_node == kUnknown ? "NUMA nodes are unknown, cores in their order"
                                                 : "all cores are in one NUMA node";
  }
  if (layouts.size() == 1 && !with_gpus) {
    return fmt::format("{} ({} of them)", best.how, domains.size());
  }
  std::string why = with_gpus ? best.name + ": " : "";
  why += fmt::format("{}: scored {:.1f} of 100", best.how, placement.node.score.total);
  std::vector<std::string> same;
  std::vector<std::string> others;
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    if (i == decision.taken) continue;
    const std::string& name = with_gpus ? layouts[i].name : layouts[i].how;
    if (layouts[i].ranks == best.ranks) {
      same.push_back(name);
    } else {
      others.push_back(fmt::format("{:.1f} for {}", candidates[i].score.total, name));
    }
  }
  if (!others.empty()) why += ", against " + join(others, " and ");
  if (!same.empty()) {
    why += "; " + join(same, " and ") + (same.size() == 1 ? " comes" : " come") + " to the same";
  }
  return why;
}

// Numbers of the local ranks that have this GPU, but for one of them.
CpuSet who_else(const NodePlacement& placement, const RankPlacement& self) {
  CpuSet others;
  for (const RankPlacement& rank : placement.ranks) {
    if (rank.local_rank == self.local_rank) continue;
    for (const Gpu& gpu : rank.gpus) {
      const bool shared = std::any_of(self.gpus.begin(), self.gpus.end(), [&](const Gpu& own) {
        return own.visible_ordinal == gpu.visible_ordinal;
      });
      if (shared) others.insert(rank.local_rank);
    }
  }
  return others;
}

bool among(const std::vector<const Gpu*>& some, const Gpu& gpu) {
  return std::any_of(some.begin(), some.end(),
                     [&](const Gpu* each) { return each->visible_ordinal == gpu.visible_ordinal; });
}

GpuBlock those_of(const RankPlacement& rank, const std::vector<const Gpu*>& some) {
  GpuBlock block;
  for (const Gpu& gpu : rank.gpus) {
    if (among(some, gpu)) block.push_back(&gpu);
  }
  return block;
}

std::string why_near(const CoreIndex& index, const RankPlacement& rank) {
  const NodeInventory& inventory = index.inventory();
  const GpuBlock gpus = pointers(rank.gpus);
  const Homes homes = homes_of(inventory, rank.gpus);
  int near = 0;
  int in_package = 0;
  int remote = 0;
  for (const CoreIndex::Part& part : index.parts_of(rank.cpuset)) {
    const topology::Core& core = *part.core;
    if (homes.numa_nodes.contains(core.numa_node) || is_one_place(inventory)) {
      ++near;
    } else if (core.package != kUnknown && homes.packages.contains(core.package)) {
      ++in_package;
    } else {
      ++remote;
    }
  }
  const std::string where = numa_text(homes.numa_nodes);
  const std::string target = named(gpus) + (where.empty() ? "" : " (" + where + ")");
  if (in_package + remote == 0) return "nearest to " + target;
  std::vector<std::string> parts;
  if (near > 0) {
    parts.push_back(
        fmt::format("{} of {} cores nearest to {}", near, near + in_package + remote, target));
  }
  const std::string whose = near > 0 ? "its" : named(gpus) + "'s";
  if (in_package > 0) {
    parts.push_back(near == 0 && remote == 0
                        ? fmt::format("in {} package, not on {}", whose, where)
                        : fmt::format("{} elsewhere in {} package", in_package, whose));
  }
  if (remote > 0) parts.push_back(fmt::format("{} remote", remote));
  return join(parts, ", ");
}

}  // namespace

std::string why_there(const Decision& decision, const RankPlacement& rank) {
  const auto local = static_cast<std::size_t>(rank.local_rank);
  if (local < decision.mapped.size() && decision.mapped[local]) {
    return "rank_map (" + decision.request.resources.rank_map[local].origin.text + ")";
  }
  if (!rank.bound) return "shares all cores: there are more ranks than cores";
  if (rank.gpus.empty()) {
    const std::set<int> nodes(rank.numa_nodes.begin(), rank.numa_nodes.end());
    if (nodes.contains(kUnknown)) return "the NUMA node of its cores is unknown";
    return (nodes.size() == 1 ? "inside " : "across ") + numa_text(nodes);
  }
  std::vector<std::string> parts;
  const GpuBlock untold = those_of(rank, decision.homes.untold);
  const GpuBlock stand_in = those_of(rank, decision.homes.stand_in);
  if (untold.size() + stand_in.size() < rank.gpus.size()) {
    parts.push_back(why_near(decision.index, rank));
  }
  for (const Gpu* gpu : stand_in) {
    parts.push_back(fmt::format("remote: GPU {} is on NUMA {}, of which no core is ours",
                                gpu->visible_ordinal, gpu->numa_node));
  }
  if (!untold.empty()) {
    parts.push_back("nobody knows where " + named(untold) + (untold.size() == 1 ? " is" : " are") +
                    ": no place is guessed");
  }
  return join(parts, "; ");
}

void explain_cores(const Decision& decision, NodePlacement& placement) {
  const Layout& best = decision.layouts[decision.taken];
  const auto [fewest, most] =
      std::minmax_element(best.ranks.begin(), best.ranks.end(),
                          [](const auto& a, const auto& b) { return a.size() < b.size(); });
  placement.reasons.push_back({"placement on " + decision.inventory.hostname,
                               range_text(fewest->size(), most->size(), "core"),
                               why_this_layout(decision, placement)});
}

namespace {

// Ranks that see their own GPUs alone start to count at these: the first of each is its cuda:0.
std::string unused_behind_first(const Decision& decision, const NodePlacement& placement) {
  GpuBlock rest;
  for (const RankPlacement& rank : placement.ranks) {
    for (std::size_t i = 1; i < rank.gpus.size(); ++i) rest.push_back(&rank.gpus[i]);
  }
  return fmt::format(
      "{} of {} {} unused where each rank uses one GPU, its first (cuda:0): {} for "
      "a GPU each",
      named(rest), decision.inventory.hostname, rest.size() == 1 ? "is" : "are",
      set_processes(decision.request, static_cast<int>(decision.parts.gpus.size())));
}

// "a program on cuda:LOCAL_RANK uses GPUs 0-1 alone, and no rank is there for GPUs 2-7 …"
std::string unused_by_index(const Decision& decision, const NodePlacement& placement) {
  if (placement.node.gpu_visibility == config::GpuVisibility::kOwn) {
    return unused_behind_first(decision, placement);
  }
  const auto ranks = static_cast<int>(placement.ranks.size());
  const auto gpus = static_cast<int>(decision.parts.gpus.size());
  const GpuBlock rest(decision.parts.gpus.begin() + ranks, decision.parts.gpus.end());
  return fmt::format(
      "{} of {} {} no rank of {} own where each rank uses one GPU (cuda:LOCAL_RANK): for {} ranks "
      "set process_count_per_node to auto, or gpu_assignment to ordinal for cores near those that "
      "are used",
      named(rest), decision.inventory.hostname, rest.size() == 1 ? "has" : "have",
      rest.size() == 1 ? "its" : "their", gpus);
}

// What uses GPUs that no rank has, of the settings that are not so already.
std::string to_use_idle(const Decision& decision, bool by_map) {
  const auto& resources = decision.request.resources;
  const auto& per_rank = resources.gpus_per_process.value;
  const auto visible = static_cast<int>(decision.parts.gpus.size());
  if (by_map) return "name them in rank_map";
  // Each process has one instance, whatever the other settings are.
  if (decision.narrowed) {
    return (per_rank ? "leave out gpus_per_process and " : "") +
           set_processes(decision.request, visible);
  }
  std::vector<std::string> ways;
  const int fit = visible / std::max(1, per_rank.value_or(1));
  if (fit > decision.request.process_count.value) {
    ways.push_back(set_processes(decision.request, fit));
  }
  const bool block = resources.gpu_assignment.value == GpuAssignment::kBlock;
  if (!block) ways.emplace_back("set gpu_assignment to block");
  if (per_rank) {
    if (block) {
      ways.emplace_back("leave out gpus_per_process");
    } else {
      ways.back() += " and leave out gpus_per_process";
    }
  }
  return join(ways, ", or ");
}

std::string idle_text(const Decision& decision, const CpuSet& idle, bool by_map) {
  return fmt::format("{} {} of {} {} no rank: {}, to use {}", idle.count() == 1 ? "GPU" : "GPUs",
                     idle.to_string(), decision.inventory.hostname,
                     idle.count() == 1 ? "has" : "have", to_use_idle(decision, by_map),
                     idle.count() == 1 ? "it" : "them");
}

std::string how_dealt(const Decision& decision, bool shared, std::size_t most) {
  const auto& assignment = decision.request.resources.gpu_assignment;
  if (shared) return "there are fewer than ranks";
  if (decision.narrowed) return "one instance, or whole GPUs, for each rank";
  switch (assignment.value) {
    case GpuAssignment::kOrdinal:
      return assignment.origin.text + ": GPU k for local rank k, the others for nobody";
    case GpuAssignment::kSpread:
      return assignment.origin.text +
             ": evenly spaced, and one CUDA_VISIBLE_DEVICES for all ranks puts them first";
    case GpuAssignment::kBlock: break;
  }
  return most == 1 ? "GPU k for local rank k, in visible order"
                   : "neighbours for each rank, in visible order";
}

void warn_of_busy_gpus(const Decision& decision, NodePlacement& placement) {
  std::set<int> told;
  for (const RankPlacement& rank : placement.ranks) {
    for (const Gpu& gpu : rank.gpus) {
      if (gpu.processes.empty() || !told.insert(gpu.visible_ordinal).second) continue;
      std::vector<std::string> users;
      for (const topology::GpuProcess& process : gpu.processes) {
        std::string user = std::to_string(process.pid);
        if (!process.name.empty()) user += " (" + process.name + ")";
        if (process.memory_bytes > 0) user += " with " + format_bytes(process.memory_bytes);
        users.push_back(std::move(user));
      }
      placement.warnings.push_back(fmt::format(
          "GPU {} of {}{} is in use by {} {}, which is none of this run", gpu.visible_ordinal,
          decision.inventory.hostname, gpu.bus_id.empty() ? "" : " (" + gpu.bus_id + ")",
          users.size() == 1 ? "process" : "processes", join(users, ", ")));
    }
  }
}

void warn_of_strangers(const Decision& decision, NodePlacement& placement) {
  const auto& homes = decision.homes;
  std::map<int, GpuBlock> by_node;
  for (const Gpu* gpu : homes.stand_in) by_node[gpu->numa_node].push_back(gpu);
  for (const auto& [node, gpus] : by_node) {
    CpuSet ranks;
    for (const RankPlacement& rank : placement.ranks) {
      if (!those_of(rank, gpus).empty()) ranks.insert(rank.local_rank);
    }
    const bool held = std::any_of(
        decision.inventory.cores.begin(), decision.inventory.cores.end(),
        [wanted = node](const topology::Core& core) { return core.numa_node == wanted; });
    placement.warnings.push_back(fmt::format(
        "{} of {} {} on NUMA node {}, of which {}: local {} {} {} far from {}", named(gpus),
        decision.inventory.hostname, gpus.size() == 1 ? "is" : "are", node,
        held ? "no core is free" : "no core is allowed here", ranks.count() == 1 ? "rank" : "ranks",
        ranks.to_string(), ranks.count() == 1 ? "is" : "are", gpus.size() == 1 ? "it" : "them"));
  }
  if (homes.untold.empty()) return;
  placement.reasons.push_back(
      {"locality on " + decision.inventory.hostname, "unknown for " + named(homes.untold),
       "neither the kernel nor a topology file says where; none is guessed, a file of yours can "
       "tell (MUSTER_TOPOLOGY_OVERRIDE)"});
}

}  // namespace

void explain_gpus(const Decision& decision, NodePlacement& placement) {
  std::size_t fewest = decision.parts.gpus.size();
  std::size_t most = 0;
  bool shared = false;
  for (RankPlacement& rank : placement.ranks) {
    fewest = std::min(fewest, rank.gpus.size());
    most = std::max(most, rank.gpus.size());
    shared = shared || rank.shares_gpus;
    if (rank.shares_gpus) {
      const CpuSet others = who_else(placement, rank);
      rank.why += fmt::format("; shares {} with local {} {}", named(pointers(rank.gpus)),
                              others.count() == 1 ? "rank" : "ranks", others.to_string());
    }
  }
  if (most == 0) return;
  const auto ranks = static_cast<std::int64_t>(placement.ranks.size());
  const auto visible = static_cast<std::int64_t>(decision.parts.gpus.size());
  const auto& map = decision.request.resources.rank_map;
  const bool by_map =
      std::any_of(map.begin(), map.end(), [](const auto& entry) { return entry.gpus.has_value(); });
  std::string why = by_map ? "rank_map" : how_dealt(decision, shared, most);
  CpuSet idle;
  for (const int ordinal : placement.node.idle_gpus) {
    if (std::any_of(
            decision.parts.gpus.begin(), decision.parts.gpus.end(),
            [wanted = ordinal](const Gpu* gpu) { return gpu->visible_ordinal == wanted; })) {
      idle.insert(ordinal);
    }
  }
  const bool block_of_several =
      !by_map && most > 1 && ranks < visible && !decision.request.resources.gpus_per_process.value;
  if (!idle.empty()) {
    why += "; " + idle_text(decision, idle, by_map);
  } else if (block_of_several) {
    const std::string line = unused_by_index(decision, placement);
    if (ranks > 1) placement.warnings.push_back(line);
    if (ranks == 1) why += "; " + line;
  }
  placement.reasons.push_back(
      {"GPUs on " + decision.inventory.hostname, range_text(fewest, most, "GPU"), std::move(why)});
  if (shared && !by_map) {
    placement.warnings.push_back(fmt::format(
        "{} share {} of {}: {} for a GPU each, or gpus_per_process to 0 if they need none",
        counted(ranks, "rank"), counted(visible, "GPU"), decision.inventory.hostname,
        set_processes(decision.request, static_cast<int>(visible))));
  }
  warn_of_strangers(decision, placement);
  warn_of_busy_gpus(decision, placement);
}

void explain_memory(const Decision& decision, NodePlacement& placement) {
  const bool unknown =
      std::any_of(decision.domains.begin(), decision.domains.end(),
                  [](const Domain& domain) { return domain.numa_node == kUnknown; });
  if (unknown) {
    placement.reasons.push_back({"memory on " + decision.inventory.hostname, "no policy",
                                 "the NUMA node of some cores is unknown; none is guessed"});
  }
}

}  // namespace muster::plan
