#include "launcher/plan/gpu_homes.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>

#include "launcher/plan/placement_score.h"

namespace muster::plan {
namespace {

using topology::Gpu;
using topology::kUnknown;
using topology::NodeInventory;

std::optional<std::size_t> domain_with(const std::vector<Domain>& domains, int numa_node) {
  if (numa_node == kUnknown) return std::nullopt;
  for (std::size_t i = 0; i < domains.size(); ++i) {
    if (domains[i].numa_node == numa_node) return i;
  }
  return std::nullopt;
}

// By the machine's own measure; the largest where it is not known.
int distance_between(const NodeInventory& inventory, int from, int to) {
  const auto& nodes = inventory.numa_nodes;
  const auto position_of = [&](int numa_node) {
    return static_cast<std::size_t>(
        std::find_if(nodes.begin(), nodes.end(),
                     [&](const auto& node) { return node.os_index == numa_node; }) -
        nodes.begin());
  };
  const std::size_t a = position_of(from);
  const std::size_t b = position_of(to);
  if (a >= nodes.size() || b >= nodes[a].distances.size()) return std::numeric_limits<int>::max();
  return nodes[a].distances[b];
}

int package_of(const NodeInventory& inventory, const Gpu& gpu) {
  return gpu.package != kUnknown ? gpu.package : package_of_node(inventory, gpu.numa_node);
}

std::size_t nearest_domain(const NodeInventory& inventory, const std::vector<Domain>& domains,
                           const Gpu& gpu, const std::vector<int>& load) {
  const int package = package_of(inventory, gpu);
  std::size_t best = 0;
  const auto key = [&](std::size_t i) {
    const bool other_package = package == kUnknown || domains[i].package != package;
    return std::tuple(distance_between(inventory, gpu.numa_node, domains[i].numa_node),
                      other_package,
                      static_cast<double>(load[i]) / static_cast<double>(domains[i].cores.size()));
  };
  for (std::size_t i = 1; i < domains.size(); ++i) {
    if (key(i) < key(best)) best = i;
  }
  return best;
}

Nearness nearness_of(const Domain& domain, int gpus_there, const std::vector<int>& packages,
                     bool untold) {
  if (gpus_there > 0) return Nearness::kHome;
  if (untold) return Nearness::kUntold;
  const bool same = domain.package != kUnknown &&
                    std::find(packages.begin(), packages.end(), domain.package) != packages.end();
  return same ? Nearness::kPackage : Nearness::kRemote;
}

}  // namespace

bool GpuHomes::has_home(std::size_t rank) const {
  return std::accumulate(gpus[rank].begin(), gpus[rank].end(), 0) > 0;
}

bool GpuHomes::anybody_has_home() const {
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    if (has_home(rank)) return true;
  }
  return false;
}

bool GpuHomes::everybody_has_home() const {
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    if (!has_home(rank)) return false;
  }
  return true;
}

GpuHomes gpu_homes(const NodeInventory& inventory, const std::vector<Domain>& domains,
                   const std::vector<GpuBlock>& blocks) {
  GpuHomes homes;
  homes.gpus.assign(blocks.size(), std::vector<int>(domains.size(), 0));
  std::vector<int> load(domains.size(), 0);
  std::vector<std::vector<int>> packages(blocks.size());
  const auto settle = [&](std::size_t rank, std::size_t domain) {
    ++homes.gpus[rank][domain];
    ++load[domain];
    packages[rank].push_back(domains[domain].package);
  };
  const auto note = [](std::vector<const Gpu*>& list, const Gpu* gpu) {
    if (std::find(list.begin(), list.end(), gpu) == list.end()) list.push_back(gpu);
  };
  const bool one_place = domains.size() == 1;
  std::vector<std::pair<std::size_t, const Gpu*>> strangers;
  for (std::size_t rank = 0; rank < blocks.size(); ++rank) {
    for (const Gpu* gpu : blocks[rank]) {
      if (const auto domain = domain_with(domains, gpu->numa_node)) {
        settle(rank, *domain);
      } else if (gpu->numa_node != kUnknown) {
        strangers.emplace_back(rank, gpu);
        note(homes.stand_in, gpu);
      } else if (one_place && is_one_place(inventory)) {
        settle(rank, 0);
      } else {
        note(homes.untold, gpu);
        if (gpu->package != kUnknown) packages[rank].push_back(gpu->package);
      }
    }
  }
  for (const auto& [rank, gpu] : strangers) {
    settle(rank, nearest_domain(inventory, domains, *gpu, load));
  }
  for (std::size_t rank = 0; rank < blocks.size(); ++rank) {
    const bool untold = packages[rank].empty();
    std::vector<Nearness> row;
    for (std::size_t i = 0; i < domains.size(); ++i) {
      row.push_back(nearness_of(domains[i], homes.gpus[rank][i], packages[rank], untold));
    }
    homes.nearness.push_back(std::move(row));
  }
  return homes;
}

}  // namespace muster::plan
