#include "launcher/plan/mapped_ranks.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/placement_errors.h"

namespace muster::plan {
namespace {

using config::RankMapEntry;
using topology::NodeInventory;

Failure not_there(const NodeInventory& inventory, std::size_t rank, const std::string& what,
                  std::string hint, const config::Origin& origin) {
  return Failure(Error{ErrorCode::kResources,
                       fmt::format("cannot place local rank {} on {} as rank_map has it: {}", rank,
                                   inventory.hostname, what),
                       std::move(hint), origin.location});
}

std::string without(const CpuSet& all, const CpuSet& some) {
  std::vector<int> rest;
  for (const int cpu : all.to_vector()) {
    if (!some.contains(cpu)) rest.push_back(cpu);
  }
  return CpuSet::from_vector(rest).to_string();
}

Result<> take_cpus(const NodeInventory& inventory, std::size_t rank, const RankMapEntry& entry,
                   MappedRank& mapped) {
  if (!entry.cpus) return {};
  MUSTER_TRY_ASSIGN(CpuSet cpus, CpuSet::parse(entry.cpus->value));
  const std::string outside = without(cpus, inventory.allowed);
  if (!outside.empty()) {
    return not_there(inventory, rank, "CPUs " + outside + " may not be used here",
                     "name some of " + inventory.allowed.to_string(), entry.cpus->origin);
  }
  mapped.cpus = std::move(cpus);
  return {};
}

Result<> take_gpus(const NodeInventory& inventory, std::size_t rank, const RankMapEntry& entry,
                   MappedRank& mapped) {
  if (!entry.gpus) return {};
  mapped.gpus.emplace();
  for (const int ordinal : entry.gpus->value) {
    const auto found =
        std::find_if(inventory.gpus.begin(), inventory.gpus.end(),
                     [&](const auto& gpu) { return gpu.visible_ordinal == ordinal; });
    if (found == inventory.gpus.end()) {
      const auto count = inventory.gpus.size();
      return not_there(inventory, rank, fmt::format("GPU {} is not visible", ordinal),
                       count == 0 ? "this node has no visible GPU: muster topo"
                                  : fmt::format("they are numbered 0 to {}", count - 1),
                       entry.gpus->origin);
    }
    mapped.gpus->push_back(&*found);
  }
  return {};
}

Result<> take_memory(const NodeInventory& inventory, std::size_t rank, const RankMapEntry& entry,
                     MappedRank& mapped) {
  if (!entry.memory_nodes) return {};
  CpuSet allowed;
  for (const auto& node : inventory.numa_nodes) {
    if (node.memory_allowed) allowed.insert(node.os_index);
  }
  MUSTER_TRY_ASSIGN(const CpuSet nodes, CpuSet::parse(entry.memory_nodes->value));
  const std::string outside = without(nodes, allowed);
  if (!outside.empty()) {
    return not_there(inventory, rank, "memory of NUMA nodes " + outside + " may not be used here",
                     "name some of " + allowed.to_string(), entry.memory_nodes->origin);
  }
  mapped.memory_nodes = nodes.to_vector();
  return {};
}

Result<> take_nics(const NodeInventory& inventory, std::size_t rank, const RankMapEntry& entry,
                   MappedRank& mapped) {
  if (!entry.nics) return {};
  std::vector<std::string> names;
  for (const auto& nic : inventory.nics) names.push_back(nic.name);
  for (const std::string& name : entry.nics->value) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string hint = did_you_mean_hint(name, names);
    if (hint.empty())
      hint = names.empty() ? "none is found here" : "there are " + join(names, ", ");
    return not_there(inventory, rank, "there is no network device " + name, std::move(hint),
                     entry.nics->origin);
  }
  mapped.nics = entry.nics->value;
  return {};
}

// Words win; but who writes a map by hand may have miscounted.
void warn_of_overlaps(const NodeInventory& inventory, MappedRanks& mapped) {
  std::map<int, int> owner_of_cpu;
  std::map<int, int> owner_of_gpu;
  for (std::size_t i = 0; i < mapped.ranks.size(); ++i) {
    const MappedRank& rank = mapped.ranks[i];
    const auto local = static_cast<int>(i);
    std::map<int, CpuSet> common;  // by the other rank
    if (rank.cpus) {
      for (const int cpu : rank.cpus->to_vector()) {
        const auto [owner, is_new] = owner_of_cpu.emplace(cpu, local);
        if (!is_new) common[owner->second].insert(cpu);
      }
    }
    for (const auto& [other, cpus] : common) {
      mapped.warnings.push_back(fmt::format("rank_map gives CPUs {} of {} to local ranks {} and {}",
                                            cpus.to_string(), inventory.hostname, other, local));
    }
    if (!rank.gpus) continue;
    for (const topology::Gpu* gpu : *rank.gpus) {
      const auto [owner, is_new] = owner_of_gpu.emplace(gpu->visible_ordinal, local);
      if (is_new) continue;
      mapped.warnings.push_back(fmt::format("rank_map gives GPU {} of {} to local ranks {} and {}",
                                            gpu->visible_ordinal, inventory.hostname, owner->second,
                                            local));
    }
  }
}

// Hardware threads of one core in two ranks slow each other down.  A thread that both have is an
// overlap, of which the map is told already.
void warn_of_split_cores(const NodeInventory& inventory, MappedRanks& mapped) {
  for (const topology::Core& core : inventory.cores) {
    std::vector<std::string> who;
    std::vector<CpuSet> parts;
    bool split = false;
    for (std::size_t i = 0; i < mapped.ranks.size(); ++i) {
      if (!mapped.ranks[i].cpus) continue;
      CpuSet threads = core.pus.intersection(*mapped.ranks[i].cpus);
      if (threads.empty()) continue;
      who.push_back(std::to_string(i));
      split = split || std::any_of(parts.begin(), parts.end(), [&](const CpuSet& other) {
                return other.intersection(threads).empty();
              });
      parts.push_back(std::move(threads));
    }
    if (!split) continue;
    mapped.warnings.push_back(
        fmt::format("rank_map divides a core of {} (CPUs {}) among local ranks {}",
                    inventory.hostname, core.pus.to_string(), join(who, " and ")));
  }
}

int count_without(const std::vector<MappedRank>& ranks, auto field) {
  return static_cast<int>(std::count_if(ranks.begin(), ranks.end(), [&](const MappedRank& rank) {
    return !(rank.*field).has_value();
  }));
}

}  // namespace

int MappedRanks::without_cpus() const {
  return count_without(ranks, &MappedRank::cpus);
}
int MappedRanks::without_gpus() const {
  return count_without(ranks, &MappedRank::gpus);
}

Result<MappedRanks> mapped_ranks(const NodeInventory& inventory, const PlacementRequest& request) {
  MappedRanks mapped;
  const auto count = static_cast<std::size_t>(request.process_count.value);
  mapped.ranks.resize(count);
  const auto& entries = request.resources.rank_map;
  if (entries.empty()) return mapped;
  if (entries.size() != count) {
    return Failure(
        Error{ErrorCode::kConfig,
              fmt::format("rank_map has {} {} and {} has {}", entries.size(),
                          entries.size() == 1 ? "entry" : "entries", inventory.hostname,
                          processes(request.process_count.value)),
              "write an entry for each local rank; an empty one, {}, is placed as any other",
              entries.front().origin.location});
  }
  for (std::size_t i = 0; i < count; ++i) {
    mapped.ranks[i].origin = entries[i].origin.text;
    MUSTER_TRY(take_cpus(inventory, i, entries[i], mapped.ranks[i]));
    MUSTER_TRY(take_gpus(inventory, i, entries[i], mapped.ranks[i]));
    MUSTER_TRY(take_memory(inventory, i, entries[i], mapped.ranks[i]));
    MUSTER_TRY(take_nics(inventory, i, entries[i], mapped.ranks[i]));
  }
  warn_of_overlaps(inventory, mapped);
  warn_of_split_cores(inventory, mapped);
  return mapped;
}

}  // namespace muster::plan
