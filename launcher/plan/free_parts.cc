#include "launcher/plan/free_parts.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/gpu_blocks.h"
#include "launcher/plan/placement_errors.h"

namespace muster::plan {
namespace {

using topology::Core;
using topology::Gpu;
using topology::NodeInventory;

bool holds(const HeldByRun& run, const Core& core) {
  return !core.pus.intersection(run.cpus).empty();
}

bool holds(const HeldByRun& run, const Gpu& gpu) {
  const std::string& name = gpu.uuid.empty() ? gpu.bus_id : gpu.uuid;
  return !name.empty() && std::find(run.gpus.begin(), run.gpus.end(), name) != run.gpus.end();
}

template <typename Part>
bool is_held(const std::vector<HeldByRun>& held, const Part& part) {
  return std::any_of(held.begin(), held.end(), [&](const auto& run) { return holds(run, part); });
}

// "run abc (process 123) and run def (process 456)", of those that hold any of the parts.
template <typename Parts>
std::string holders(const std::vector<HeldByRun>& held, const Parts& parts) {
  std::vector<std::string> names;
  for (const HeldByRun& run : held) {
    const bool any =
        std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return holds(run, part); });
    if (any) names.push_back(fmt::format("run {} (process {})", run.run_id, run.pid));
  }
  return join(names, " and ");
}

// One core of the domain that can best spare it: without GPUs, then with most cores left; the last.
void reserve_one(const std::set<int>& gpu_nodes, CoreLine& cores) {
  std::vector<Domain> domains = domains_of(cores);
  const auto can_spare = [&](const Domain& a, const Domain& b) {
    const auto key = [&](const Domain& domain) {
      return std::pair(!gpu_nodes.contains(domain.numa_node), domain.cores.size());
    };
    return key(a) <= key(b);
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < domains.size(); ++i) {
    if (can_spare(domains[best], domains[i])) best = i;
  }
  cores.erase(std::find(cores.begin(), cores.end(), domains[best].cores.back()));
}

// Cores that other runs have and this one leaves alone are left to others already.
Result<> reserve(const NodeInventory& inventory, const PlacementRequest& request, int ranks,
                 FreeParts& parts) {
  const auto& setting = request.resources.reserve_cores;
  if (setting.value == 0 || ranks == 0) return {};  // none to reserve from: rank_map says all
  const auto count = static_cast<int>(inventory.cores.size());
  if (setting.value >= count) {
    return cannot_place(inventory, request.process_count.value,
                        fmt::format("reserve_cores is {} and {} allowed", setting.value,
                                    count == 1 ? "1 core is" : fmt::format("{} cores are", count)),
                        count == 1 ? "set reserve_cores to 0"
                                   : fmt::format("set reserve_cores to {} or less", count - 1),
                        setting.origin);
  }
  std::set<int> gpu_nodes;
  for (const Gpu& gpu : inventory.gpus) gpu_nodes.insert(gpu.numa_node);
  const int left_alone = count - static_cast<int>(parts.cores.size());
  for (int i = left_alone; i < setting.value; ++i) reserve_one(gpu_nodes, parts.cores);
  std::vector<int> reserved;
  for (const Core& core : inventory.cores) {
    if (std::find(parts.cores.begin(), parts.cores.end(), &core) != parts.cores.end()) continue;
    const std::vector<int> pus = core.pus.to_vector();
    reserved.insert(reserved.end(), pus.begin(), pus.end());
  }
  parts.reasons.push_back({"reserve_cores on " + inventory.hostname, std::to_string(setting.value),
                           fmt::format("{}: CPUs {} are left to others", setting.origin.text,
                                       CpuSet::from_vector(reserved).to_string())});
  return {};
}

// "GPU 0 is", "GPUs 0-1 are"
std::string gpus_are(const CpuSet& ordinals) {
  const bool one = ordinals.count() == 1;
  return fmt::format("{} {} {}", one ? "GPU" : "GPUs", ordinals.to_string(), one ? "is" : "are");
}

// "1 of 4 cores of node-a belongs to", "1 of 1 GPU …"
std::string belong(std::size_t some, std::size_t all, const char* what, const std::string& host) {
  return fmt::format("{} of {} of {} {} to", some, counted(static_cast<std::int64_t>(all), what),
                     host, some == 1 ? "belongs" : "belong");
}

// The free ones, and of the others as many as are missing: the last, because a run's first ones do
// more of its work.  In their order.
template <typename Part>
std::vector<const Part*> free_ones_first(const std::vector<const Part*>& all,
                                         const std::vector<HeldByRun>& held, std::int64_t needed) {
  std::int64_t missing = needed;
  for (const Part* part : all) missing -= is_held(held, *part) ? 0 : 1;
  std::vector<const Part*> taken;
  for (auto part = all.rbegin(); part != all.rend(); ++part) {
    if (is_held(held, **part) && missing-- <= 0) continue;
    taken.push_back(*part);
  }
  std::reverse(taken.begin(), taken.end());
  return taken;
}

CpuSet cpus_of(const MappedRanks& mapped) {
  CpuSet cpus;
  for (const MappedRank& rank : mapped.ranks) {
    if (rank.cpus) cpus = cpus.united(*rank.cpus);
  }
  return cpus;
}

void take_free_cores(const NodeInventory& inventory, const PlacementRequest& request,
                     const MappedRanks& mapped, FreeParts& parts) {
  const int ranks = mapped.without_cpus();
  const auto& per_rank = request.resources.cores_per_process.value;
  const CpuSet by_word = cpus_of(mapped);
  std::int64_t unheld = 0;
  std::int64_t free = 0;  // unheld, and no other rank's by rank_map
  for (const Core& core : inventory.cores) {
    parts.cores.push_back(&core);
    if (is_held(request.held, core)) continue;
    ++unheld;
    if (core.pus.intersection(by_word).empty()) ++free;
  }
  const auto all = static_cast<std::int64_t>(parts.cores.size());
  if (unheld == all || ranks == 0) return;
  const std::string who = holders(request.held, inventory.cores);
  const std::int64_t reserved =
      std::max<std::int64_t>(request.resources.reserve_cores.value - (all - unheld), 0);
  const std::int64_t for_ranks = std::int64_t{ranks} * per_rank.value_or(1);
  if (free >= for_ranks + reserved) {
    parts.reasons.push_back({"free cores on " + inventory.hostname,
                             fmt::format("{} of {}", unheld, all),
                             who + (request.held.size() > 1 ? " have" : " has") + " the others"});
    parts.cores = free_ones_first(parts.cores, request.held, 0);
    return;
  }
  parts.warnings.push_back(fmt::format(
      "{} {}, and the rest is too few for {}: cores are shared, and both runs will be slow; {}",
      belong(static_cast<std::size_t>(all - unheld), parts.cores.size(), "core",
             inventory.hostname),
      who, counted(ranks, "rank"),
      per_rank ? "wait for the other run to end, or start both with a smaller cores_per_process"
               : "set cores_per_process so that runs leave cores to each other"));
  // A layout that somebody asks for may need any of them.
  const bool any_layout = request.resources.layout.value == config::CoreLayout::kBest;
  if (per_rank && any_layout && by_word.empty())
    parts.cores = free_ones_first(parts.cores, request.held, for_ranks);
}

GpuBlock of_rank_map(const MappedRanks& mapped) {
  GpuBlock gpus;
  for (const MappedRank& rank : mapped.ranks) {
    if (rank.gpus) gpus.insert(gpus.end(), rank.gpus->begin(), rank.gpus->end());
  }
  return gpus;
}

void take_free_gpus(const NodeInventory& inventory, const PlacementRequest& request,
                    const MappedRanks& mapped, FreeParts& parts) {
  for (const Gpu& gpu : inventory.gpus) parts.gpus.push_back(&gpu);
  const int ranks = mapped.without_gpus();
  const auto& per_rank = request.resources.gpus_per_process.value;
  if (ranks == 0 || (per_rank && *per_rank == 0)) return;
  const GpuBlock by_word = of_rank_map(mapped);
  const auto is_by_word = [&](const Gpu* gpu) {
    return std::find(by_word.begin(), by_word.end(), gpu) != by_word.end();
  };
  GpuBlock others;  // that rank_map gives to nobody
  for (const Gpu* gpu : parts.gpus) {
    if (!is_by_word(gpu)) others.push_back(gpu);
  }
  const GpuBlock unheld = unheld_gpus(inventory, request.held);
  const auto all = static_cast<std::int64_t>(parts.gpus.size());
  if (std::ssize(unheld) == all) return;
  const auto free = static_cast<std::int64_t>(std::count_if(
      unheld.begin(), unheld.end(), [&](const Gpu* gpu) { return !is_by_word(gpu); }));
  const std::int64_t needed =
      per_rank ? std::int64_t{ranks} * *per_rank
               : std::min<std::int64_t>(ranks, std::max<std::int64_t>(std::ssize(others), 1));
  // Those of rank_map stay: its ranks must see them.
  const GpuBlock taken = free_ones_first(others, request.held, needed);
  parts.gpus.erase(std::remove_if(parts.gpus.begin(), parts.gpus.end(),
                                  [&](const Gpu* gpu) {
                                    return !is_by_word(gpu) && std::find(taken.begin(), taken.end(),
                                                                         gpu) == taken.end();
                                  }),
                   parts.gpus.end());
  const std::string who = holders(request.held, inventory.gpus);
  if (free >= needed) {
    parts.reasons.push_back({"free GPUs on " + inventory.hostname, ordinals(unheld),
                             who + (request.held.size() > 1 ? " have" : " has") + " the others"});
    return;
  }
  CpuSet shared;
  for (const Gpu* gpu : taken) {
    if (is_held(request.held, *gpu)) shared.insert(gpu->visible_ordinal);
  }
  parts.warnings.push_back(fmt::format(
      "{} {}, and the rest is too few for {}: {} shared; set gpus_per_process so that runs leave "
      "GPUs to each other, or wait for {}",
      belong(static_cast<std::size_t>(all - std::ssize(unheld)), inventory.gpus.size(), "GPU",
             inventory.hostname),
      who, counted(ranks, "rank"), shared.empty() ? "GPUs are" : gpus_are(shared),
      request.held.size() > 1 ? "one of them" : "it"));
}

// Words win; but who wrote the map may not know of the other run.
void warn_of_held(const NodeInventory& inventory, const PlacementRequest& request,
                  const MappedRanks& mapped, FreeParts& parts) {
  const CpuSet by_word = cpus_of(mapped);
  CpuSet cpus;
  std::vector<Core> cores;
  for (const Core& core : inventory.cores) {
    const CpuSet common = core.pus.intersection(by_word);
    if (common.empty() || !is_held(request.held, core)) continue;
    cpus = cpus.united(common);
    cores.push_back(core);
  }
  if (!cores.empty()) {
    parts.warnings.push_back(fmt::format(
        "rank_map gives {} {} of {} to this run, and {} has {}: cores are shared, and both runs "
        "will be slow; name others there, or wait for it",
        cpus.count() == 1 ? "CPU" : "CPUs", cpus.to_string(), inventory.hostname,
        holders(request.held, cores), cores.size() == 1 ? "this core" : "these cores"));
  }
  CpuSet ordinals;
  std::vector<Gpu> gpus;
  for (const Gpu* gpu : of_rank_map(mapped)) {
    if (!is_held(request.held, *gpu)) continue;
    ordinals.insert(gpu->visible_ordinal);
    gpus.push_back(*gpu);
  }
  if (gpus.empty()) return;
  parts.warnings.push_back(fmt::format(
      "rank_map gives {} {} of {} to this run, and {} has {}: {} shared; name others there, or "
      "wait for it",
      ordinals.count() == 1 ? "GPU" : "GPUs", ordinals.to_string(), inventory.hostname,
      holders(request.held, gpus), ordinals.count() == 1 ? "it" : "them",
      ordinals.count() == 1 ? "it is" : "they are"));
}

}  // namespace

GpuBlock unheld_gpus(const NodeInventory& inventory, const std::vector<HeldByRun>& held) {
  GpuBlock unheld;
  for (const Gpu& gpu : inventory.gpus) {
    if (!is_held(held, gpu)) unheld.push_back(&gpu);
  }
  return unheld;
}

Result<FreeParts> free_parts(const NodeInventory& inventory, const PlacementRequest& request,
                             const MappedRanks& mapped) {
  FreeParts parts;
  take_free_cores(inventory, request, mapped, parts);
  take_free_gpus(inventory, request, mapped, parts);
  if (!request.held.empty()) warn_of_held(inventory, request, mapped, parts);
  MUSTER_TRY(reserve(inventory, request, mapped.without_cpus(), parts));
  return parts;
}

}  // namespace muster::plan
