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

Result<> reserve(const NodeInventory& inventory, const PlacementRequest& request, int ranks,
                 FreeParts& parts) {
  const auto& setting = request.resources.reserve_cores;
  if (setting.value == 0 || ranks == 0) return {};  // none to reserve from: rank_map says all
  const auto count = static_cast<int>(parts.cores.size());
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
  const CoreLine before = parts.cores;
  for (int i = 0; i < setting.value; ++i) reserve_one(gpu_nodes, parts.cores);
  std::vector<int> reserved;
  for (const Core* core : before) {
    if (std::find(parts.cores.begin(), parts.cores.end(), core) != parts.cores.end()) continue;
    const std::vector<int> pus = core->pus.to_vector();
    reserved.insert(reserved.end(), pus.begin(), pus.end());
  }
  parts.reasons.push_back({"reserve_cores on " + inventory.hostname, std::to_string(setting.value),
                           fmt::format("{}: CPUs {} are left to others", setting.origin.text,
                                       CpuSet::from_vector(reserved).to_string())});
  return {};
}

void take_free_cores(const NodeInventory& inventory, const PlacementRequest& request, int ranks,
                     FreeParts& parts) {
  CoreLine all;
  CoreLine unheld;
  for (const Core& core : inventory.cores) {
    all.push_back(&core);
    if (!is_held(request.held, core)) unheld.push_back(&core);
  }
  const std::int64_t needed =
      std::int64_t{ranks} * request.resources.cores_per_process.value.value_or(1) +
      request.resources.reserve_cores.value;
  parts.cores = all;
  if (unheld.size() == all.size() || ranks == 0) return;
  const std::string who = holders(request.held, inventory.cores);
  if (static_cast<std::int64_t>(unheld.size()) >= needed) {
    parts.reasons.push_back({"free cores on " + inventory.hostname,
                             fmt::format("{} of {}", unheld.size(), all.size()),
                             who + (request.held.size() > 1 ? " have" : " has") + " the others"});
    parts.cores = std::move(unheld);
    return;
  }
  parts.warnings.push_back(fmt::format(
      "{} of {} of {} belong to {}, and the rest is too few for {}: cores are shared, and both "
      "runs will be slow; set cores_per_process so that runs leave cores to each other",
      all.size() - unheld.size(), counted(static_cast<std::int64_t>(all.size()), "core"),
      inventory.hostname, who, counted(ranks, "rank")));
}

void take_free_gpus(const NodeInventory& inventory, const PlacementRequest& request, int ranks,
                    FreeParts& parts) {
  for (const Gpu& gpu : inventory.gpus) parts.gpus.push_back(&gpu);
  const auto& per_rank = request.resources.gpus_per_process.value;
  if (ranks == 0 || (per_rank && *per_rank == 0)) return;
  GpuBlock unheld = unheld_gpus(inventory, request.held);
  const auto all = static_cast<std::int64_t>(parts.gpus.size());
  const auto free = static_cast<std::int64_t>(unheld.size());
  if (free == all) return;
  const std::int64_t needed =
      per_rank ? std::int64_t{ranks} * *per_rank : std::min<std::int64_t>(ranks, all);
  const std::string who = holders(request.held, inventory.gpus);
  if (free >= needed) {
    parts.reasons.push_back({"free GPUs on " + inventory.hostname, ordinals(unheld),
                             who + (request.held.size() > 1 ? " have" : " has") + " the others"});
    parts.gpus = std::move(unheld);
    return;
  }
  parts.warnings.push_back(fmt::format(
      "{} of {} of {} belong to {}, and the rest is too few for {}: GPUs are shared; set "
      "gpus_per_process so that runs leave GPUs to each other, or wait for {}",
      all - free, counted(all, "GPU"), inventory.hostname, who, counted(ranks, "rank"),
      request.held.size() > 1 ? "one of them" : "it"));
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
                             int ranks) {
  FreeParts parts;
  take_free_cores(inventory, request, ranks, parts);
  take_free_gpus(inventory, request, ranks, parts);
  MUSTER_TRY(reserve(inventory, request, ranks, parts));
  return parts;
}

}  // namespace muster::plan
