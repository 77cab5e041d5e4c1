#include "launcher/plan/placement_words.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace muster::plan {
namespace {

bool are_gpus_alike(const topology::Gpu& a, const topology::Gpu& b) {
  return a.visible_ordinal == b.visible_ordinal && a.bus_id == b.bus_id &&
         a.numa_node == b.numa_node && a.package == b.package;
}

bool are_ranks_alike(const RankPlacement* a, const RankPlacement* b) {
  return a->local_rank == b->local_rank && a->bound == b->bound && a->cpuset == b->cpuset &&
         a->cores == b->cores && a->memory_nodes == b->memory_nodes &&
         a->memory_policy == b->memory_policy && a->shares_gpus == b->shares_gpus &&
         a->nics == b->nics && a->role == b->role &&
         std::equal(a->gpus.begin(), a->gpus.end(), b->gpus.begin(), b->gpus.end(), are_gpus_alike);
}

using Ranks = std::vector<const RankPlacement*>;

bool are_nodes_alike(const NodePlan& a, const Ranks& ranks_of_a, const NodePlan& b,
                     const Ranks& ranks_of_b) {
  return a.layout == b.layout && a.score == b.score && a.idle_gpus == b.idle_gpus &&
         std::equal(ranks_of_a.begin(), ranks_of_a.end(), ranks_of_b.begin(), ranks_of_b.end(),
                    are_ranks_alike);
}

std::string rank_numbers(const Ranks& ranks) {
  std::vector<int> numbers;
  for (const RankPlacement* rank : ranks) numbers.push_back(rank->rank);
  return CpuSet::from_vector(numbers).to_string();
}

}  // namespace

const char* to_word(config::MemoryPolicy policy) {
  switch (policy) {
    case config::MemoryPolicy::kPreferred: return "preferred";
    case config::MemoryPolicy::kStrict: return "strict";
    case config::MemoryPolicy::kInterleave: return "interleave";
    case config::MemoryPolicy::kNone: return "none";
  }
  return "";
}

std::string gpus_in_words(const RankPlacement& rank) {
  std::vector<int> ordinals;
  for (const topology::Gpu& gpu : rank.gpus) ordinals.push_back(gpu.visible_ordinal);
  // A set sorts; a permuted assignment keeps its order in words.
  std::string text;
  if (std::is_sorted(ordinals.begin(), ordinals.end())) {
    text = CpuSet::from_vector(ordinals).to_string();
  } else {
    for (const int ordinal : ordinals) text += (text.empty() ? "" : ",") + std::to_string(ordinal);
  }
  return rank.shares_gpus ? text + " shared" : text;
}

std::string memory_in_words(const RankPlacement& rank) {
  if (rank.memory_nodes.empty() || rank.memory_policy == config::MemoryPolicy::kNone) {
    return "default";
  }
  const std::string policy = to_word(rank.memory_policy);
  const CpuSet nodes = CpuSet::from_vector(rank.memory_nodes);
  const bool at_cores =
      rank.numa_nodes.empty() || (std::find(rank.numa_nodes.begin(), rank.numa_nodes.end(),
                                            topology::kUnknown) == rank.numa_nodes.end() &&
                                  nodes == CpuSet::from_vector(rank.numa_nodes));
  return at_cores ? policy : policy + " " + nodes.to_string();
}

std::string score_in_words(const PlacementScore& score) {
  return fmt::format(
      "P {:.1f} (locality {:.2f}, exclusive {:.2f}, balance {:.2f}, use {:.2f}, coverage {:.2f}); "
      "apart from P: memory {:.2f}, siblings {:.2f}, rail {:.2f}, order {:.2f}",
      score.total, score.locality, score.exclusive, score.balance, score.use, score.coverage,
      score.memory, score.siblings, score.rail, score.order);
}

std::string candidates_in_words(const NodePlan& node) {
  std::vector<std::string> parts;
  for (const LayoutCandidate& candidate : node.candidates) {
    parts.push_back(fmt::format("{} {:.1f}{}", candidate.name, candidate.score.total,
                                candidate.name == node.layout ? " (taken)" : ""));
  }
  return join(parts, ", ");
}

std::vector<AlikeNodes> alike_nodes(const LaunchPlan& plan, const AreAlike& also_alike) {
  std::vector<Ranks> ranks(plan.nodes.size());
  for (const RankPlacement& rank : plan.ranks) {
    const std::size_t node = plan.node_index(rank.node_rank);
    if (node < ranks.size()) ranks[node].push_back(&rank);
  }
  std::vector<AlikeNodes> kinds;
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    const NodePlan& node = plan.nodes[i];
    const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const AlikeNodes& kind) {
      return are_nodes_alike(*kind.nodes.front(), kind.ranks.front(), node, ranks[i]) &&
             (!also_alike || also_alike(*kind.nodes.front(), node));
    });
    AlikeNodes& kind = found == kinds.end() ? kinds.emplace_back() : *found;
    kind.nodes.push_back(&node);
    kind.ranks.push_back(std::move(ranks[i]));
  }
  return kinds;
}

std::string others_in_words(const AlikeNodes& alike) {
  constexpr std::size_t kNamed = 4;
  std::vector<std::string> parts;
  for (std::size_t i = 1; i < alike.nodes.size() && i <= kNamed; ++i) {
    parts.push_back(
        fmt::format("{} (ranks {})", alike.nodes[i]->hostname, rank_numbers(alike.ranks[i])));
  }
  std::string text = join(parts, ", ");
  if (alike.nodes.size() > kNamed + 1) {
    text += fmt::format(" and {} more", alike.nodes.size() - kNamed - 1);
  }
  return text;
}

}  // namespace muster::plan
