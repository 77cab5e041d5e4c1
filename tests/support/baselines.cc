#include "tests/support/baselines.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace muster::plan {
namespace {

using topology::Core;
using topology::Gpu;
using topology::kUnknown;
using topology::NodeInventory;

std::size_t index(int number) {
  return static_cast<std::size_t>(number);
}

RankPlacement rank_with(int local_rank, CpuSet cpus) {
  RankPlacement rank;
  rank.rank = local_rank;
  rank.local_rank = local_rank;
  rank.cpuset = std::move(cpus);
  return rank;
}

// Shares of `total` that differ by at most one, the larger ones first.
std::vector<int> shares(int total, int parts) {
  std::vector<int> sizes(index(parts), total / parts);
  for (int i = 0; i < total % parts; ++i) ++sizes[index(i)];
  return sizes;
}

// Which items each of `parts` gets: neighbours; with too few items, neighbouring parts share one.
std::vector<std::vector<int>> buckets(int items, int parts) {
  std::vector<std::vector<int>> dealt(index(parts));
  if (items == 0) return dealt;
  if (items < parts) {
    const std::vector<int> users = shares(parts, items);
    for (int item = 0, part = 0; item < items; ++item) {
      for (int i = 0; i < users[index(item)]; ++i) dealt[index(part++)].push_back(item);
    }
    return dealt;
  }
  const std::vector<int> sizes = shares(items, parts);
  for (int part = 0, item = 0; part < parts; ++part) {
    for (int i = 0; i < sizes[index(part)]; ++i) dealt[index(part)].push_back(item++);
  }
  return dealt;
}

void give_gpu_blocks(const NodeInventory& node, std::vector<RankPlacement>& ranks) {
  const int gpus = static_cast<int>(node.gpus.size());
  const int count = static_cast<int>(ranks.size());
  if (gpus == 0) return;
  if (count > gpus) {
    for (int r = 0; r < count; ++r) ranks[index(r)].gpus = {node.gpus[index(r * gpus / count)]};
    return;
  }
  const auto blocks = buckets(gpus, count);
  for (int r = 0; r < count; ++r) {
    for (const int gpu : blocks[index(r)]) ranks[index(r)].gpus.push_back(node.gpus[index(gpu)]);
  }
}

// A NUMA node with CPUs for us.
struct Domain {
  int os_index = kUnknown;
  std::vector<const Core*> cores;
  std::vector<const Gpu*> gpus;

  CpuSet cpus() const {
    CpuSet set;
    for (const Core* core : cores) set = set.united(core->pus);
    return set;
  }
};

// In the order in which hwloc has them: that of their cores.
std::vector<Domain> domains_with_cpus(const NodeInventory& node) {
  std::vector<Domain> domains;
  for (const Core& core : node.cores) {
    auto domain = std::find_if(domains.begin(), domains.end(),
                               [&](const Domain& d) { return d.os_index == core.numa_node; });
    if (domain == domains.end()) {
      domain = domains.insert(domains.end(), Domain{core.numa_node, {}, {}});
    }
    domain->cores.push_back(&core);
  }
  for (Domain& domain : domains) {
    for (const Gpu& gpu : node.gpus) {
      if (gpu.numa_node != kUnknown && gpu.numa_node == domain.os_index) {
        domain.gpus.push_back(&gpu);
      }
    }
  }
  return domains;
}

// Largest remainder; ties to the first.
std::vector<int> apportioned(int ranks, const std::vector<int>& weights) {
  const int sum = std::accumulate(weights.begin(), weights.end(), 0);
  std::vector<int> counts;
  std::vector<std::size_t> order;
  int left = ranks;
  for (const int weight : weights) {
    order.push_back(counts.size());
    counts.push_back(ranks * weight / sum);
    left -= counts.back();
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return ranks * weights[a] % sum > ranks * weights[b] % sum;
  });
  for (int i = 0; i < left; ++i) ++counts[order[index(i)]];
  return counts;
}

// Fewer tasks than domains: each gets whole ones, with all their CPUs and GPUs.
std::vector<RankPlacement> mpibind_greedy(const std::vector<Domain>& domains, int ranks) {
  std::vector<RankPlacement> placed;
  for (const std::vector<int>& own : buckets(static_cast<int>(domains.size()), ranks)) {
    RankPlacement rank = rank_with(static_cast<int>(placed.size()), {});
    for (const int at : own) {
      const Domain& domain = domains[index(at)];
      rank.cpuset = rank.cpuset.united(domain.cpus());
      for (const Gpu* gpu : domain.gpus) rank.gpus.push_back(*gpu);
    }
    placed.push_back(std::move(rank));
  }
  return placed;
}

// The tasks of one domain: one hardware thread per core, more only when cores do not suffice.
void mpibind_inside(const Domain& domain, int tasks, int threads,
                    std::vector<RankPlacement>& placed) {
  std::vector<CpuSet> units;
  const int wanted = tasks * std::max(threads, 1);
  const bool cores_suffice = static_cast<int>(domain.cores.size()) >= wanted;
  for (const Core* core : domain.cores) {
    std::vector<int> pus = core->pus.to_vector();
    if (cores_suffice) pus.resize(1);
    for (const int pu : pus) units.push_back(CpuSet{pu});
  }
  const auto dealt = buckets(static_cast<int>(units.size()), tasks);
  const auto gpus = buckets(static_cast<int>(domain.gpus.size()), tasks);
  for (int task = 0; task < tasks; ++task) {
    RankPlacement rank = rank_with(static_cast<int>(placed.size()), {});
    for (const int unit : dealt[index(task)]) {
      rank.cpuset = rank.cpuset.united(units[index(unit)]);
    }
    for (const int gpu : gpus[index(task)]) rank.gpus.push_back(*domain.gpus[index(gpu)]);
    placed.push_back(std::move(rank));
  }
}

}  // namespace

std::vector<RankPlacement> open_mpi_default(const NodeInventory& node, int ranks) {
  const std::vector<Domain> domains = domains_with_cpus(node);
  std::vector<RankPlacement> placed;
  const bool by_core = ranks <= 2;
  for (int r = 0; r < ranks; ++r) {
    if (ranks > static_cast<int>(node.cores.size())) {
      placed.push_back(rank_with(r, node.allowed));  // --oversubscribe: not bound
    } else if (by_core) {
      placed.push_back(rank_with(r, node.cores[index(r)].pus));
    } else {
      placed.push_back(rank_with(r, domains[index(r) % domains.size()].cpus()));
    }
  }
  give_gpu_blocks(node, placed);
  return placed;
}

std::optional<std::vector<RankPlacement>> slot_pe(const NodeInventory& node, int ranks) {
  const int cores = static_cast<int>(node.cores.size()) / ranks;
  if (cores == 0) return std::nullopt;
  std::vector<RankPlacement> placed;
  for (int r = 0; r < ranks; ++r) {
    CpuSet cpus;
    for (int i = 0; i < cores; ++i) cpus = cpus.united(node.cores[index(r * cores + i)].pus);
    placed.push_back(rank_with(r, cpus));
  }
  give_gpu_blocks(node, placed);
  return placed;
}

std::vector<RankPlacement> mpibind(const NodeInventory& node, int ranks,
                                   const MpibindOptions& options) {
  const std::vector<Domain> domains = domains_with_cpus(node);
  if (ranks < static_cast<int>(domains.size())) return mpibind_greedy(domains, ranks);
  const bool by_gpus = options.gpus && std::any_of(domains.begin(), domains.end(),
                                                   [](const auto& d) { return !d.gpus.empty(); });
  // Without: by CPUs, and each task still gets GPUs of its domain.
  std::vector<int> weights;
  for (const Domain& domain : domains) {
    weights.push_back(by_gpus ? static_cast<int>(domain.gpus.size()) : domain.cpus().count());
  }
  const std::vector<int> tasks = apportioned(ranks, weights);
  std::vector<RankPlacement> placed;
  for (std::size_t i = 0; i < domains.size(); ++i) {
    if (tasks[i] > 0) mpibind_inside(domains[i], tasks[i], options.threads, placed);
  }
  return placed;
}

std::optional<std::vector<RankPlacement>> torch_node(const NodeInventory& node, int ranks) {
  if (ranks > static_cast<int>(node.gpus.size())) return std::nullopt;
  const std::vector<Domain> domains = domains_with_cpus(node);
  std::vector<RankPlacement> placed;
  for (int r = 0; r < ranks; ++r) {
    const Gpu& gpu = node.gpus[index(r)];
    const int numa = gpu.numa_node == kUnknown ? node.numa_nodes.front().os_index : gpu.numa_node;
    CpuSet cpus;
    for (const Domain& domain : domains) {
      if (domain.os_index == numa) cpus = domain.cpus();
    }
    // It leaves the mask alone when nothing of the node is in it.
    placed.push_back(rank_with(r, cpus.empty() ? node.allowed : cpus));
    placed.back().gpus = {gpu};
  }
  return placed;
}

}  // namespace muster::plan
