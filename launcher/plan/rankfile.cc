// Tried with Open MPI 4.1.4 and 5.0.11: a slot is a logical core number, counted over the cores
// that the cpuset allows, whatever the affinity mask; the whole core is taken, and ranks of one
// core are accepted by 4.1 and refused by 5.  "--bind-to none" changes nothing about it in 4.1 and
// breaks it in 5.
#include "launcher/plan/rankfile.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/mpirun_command.h"

namespace muster::plan {
namespace {

using config::Backend;
using config::Binder;
using topology::Core;

Failure cannot_bind(const std::string& why, const std::string& hint,
                    const config::Resources& resources) {
  return Failure(Error{ErrorCode::kResources, "cannot bind by rankfile: " + why, hint,
                       resources.binding.origin.location});
}

// The cores of a rank, by mpirun's numbers.
Result<CpuSet> slots_of(const RankPlacement& rank, const topology::NodeInventory& node,
                        const config::Resources& resources) {
  CpuSet slots;
  for (const Core& core : node.cores) {
    const CpuSet own = core.pus.intersection(rank.cpuset);
    if (own.empty()) continue;
    if (own != core.pus) {
      return cannot_bind(
          fmt::format("rank {} has hardware threads {} of a core that has {}, and mpirun binds to "
                      "whole cores",
                      rank.rank, own.to_string(), core.pus.to_string()),
          "give it whole cores in resources.rank_map, or set resources.binding to agent",
          resources);
    }
    slots.insert(core.allowed_index);
  }
  return slots;
}

std::int64_t ranks_of(const LaunchPlan& plan, int node_rank) {
  return std::count_if(plan.ranks.begin(), plan.ranks.end(),
                       [&](const RankPlacement& rank) { return rank.node_rank == node_rank; });
}

// Which rank has each of mpirun's core numbers, of each node.
Result<> take(const RankPlacement& rank, const CpuSet& slots,
              std::map<std::pair<int, int>, int>& owners, const config::Resources& resources) {
  for (const int slot : slots.to_vector()) {
    const auto [owner, is_first] = owners.emplace(std::pair(rank.node_rank, slot), rank.rank);
    if (is_first) continue;
    return cannot_bind(
        fmt::format("ranks {} and {} share core {}, and Open MPI 5 refuses that", owner->second,
                    rank.rank, slot),
        "give each rank cores of its own in resources.rank_map, or set resources.binding to agent",
        resources);
  }
  return {};
}

}  // namespace

Result<std::string> rankfile_text(const LaunchPlan& plan,
                                  const std::vector<topology::NodeInventory>& nodes,
                                  const config::Resources& resources) {
  std::map<std::pair<int, int>, int> owners;
  std::string text;
  for (const RankPlacement& rank : plan.ranks) {
    const topology::NodeInventory& node = nodes[plan.node_index(rank.node_rank)];
    if (!rank.bound) {
      return cannot_bind(
          fmt::format("{} are more than {} of {}, so that no rank has a core of its own",
                      counted(ranks_of(plan, rank.node_rank), "rank"),
                      counted(static_cast<std::int64_t>(node.cores.size()), "core"), node.hostname),
          "start fewer ranks, or set resources.binding to agent, which leaves them unbound",
          resources);
    }
    MUSTER_TRY_ASSIGN(const CpuSet slots, slots_of(rank, node, resources));
    MUSTER_TRY(take(rank, slots, owners, resources));
    text += fmt::format("rank {}={} slot={}\n", rank.rank,
                        plan.of_several_nodes() ? mpi_node_name(rank.node_rank) : "localhost",
                        slots.to_string());
  }
  return text;
}

Result<> choose_binder(const config::RunConfig& config,
                       const std::vector<topology::NodeInventory>& nodes, LaunchPlan& plan) {
  for (RankPlacement& rank : plan.ranks) {
    rank.memory_policy = config.resources.memory_policy.value;
  }
  const auto& binding = config.resources.binding;
  if (binding.value == Binder::kAgent) return {};
  if (binding.value == Binder::kRankfile) {
    if (plan.backend != Backend::kMpi) {
      return Failure(Error{ErrorCode::kConfig,
                           "cannot bind by rankfile: distributed_backend is " +
                               config::to_string(plan.backend) + ", and only mpirun reads one",
                           "set distributed_backend to mpi, or resources.binding to agent",
                           binding.origin.location});
    }
    plan.reasons.push_back({"binding", "rankfile", binding.origin.text + ": mpirun binds"});
    return {};
  }
  for (RankPlacement& rank : plan.ranks) {
    rank.bound = false;
    rank.cpuset = nodes[plan.node_index(rank.node_rank)].allowed;
    rank.memory_nodes.clear();
    rank.memory_policy = config::MemoryPolicy::kNone;
  }
  plan.reasons.push_back(
      {"binding", "none",
       binding.origin.text + ": every rank may run on all allowed CPUs; threads are counted by the "
                             "cores that it would have"});
  return {};
}

}  // namespace muster::plan
