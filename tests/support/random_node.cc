#include "tests/support/random_node.h"

#include <algorithm>

#include <fmt/format.h>

namespace muster::plan {
namespace {

using topology::Core;
using topology::Gpu;
using topology::kUnknown;
using topology::LocalitySource;
using topology::Nic;
using topology::NodeInventory;
using topology::NumaNode;

struct Habits {
  int smt;
  bool linux_numbers;  // hardware threads of a core are far apart
  int first_pu, pu_step;
  int numa_step;
  int offline_one_in, disallowed_one_in;  // 0: none
  int cores_per_l3;                       // 0: unknown
};

Habits random_habits(Dice& dice) {
  Habits habits{};
  habits.smt = dice.one_in(2) ? 1 : dice.one_in(4) ? 4 : 2;
  habits.linux_numbers = dice.one_in(2);
  habits.first_pu = dice.one_in(5) ? dice.between(1, 40) : 0;
  habits.pu_step = dice.one_in(5) ? dice.between(2, 4) : 1;
  habits.numa_step = dice.one_in(4) ? dice.between(2, 8) : 1;
  habits.offline_one_in = dice.one_in(4) ? dice.between(3, 12) : 0;
  habits.disallowed_one_in = dice.one_in(4) ? dice.between(2, 12) : 0;
  habits.cores_per_l3 = dice.one_in(6) ? 0 : dice.between(1, 8);
  return habits;
}

void add_numa_node(NodeInventory& node, const Habits& habits, int package, int cores, int total) {
  NumaNode numa;
  numa.os_index = static_cast<int>(node.numa_nodes.size()) * habits.numa_step;
  numa.memory_bytes = std::uint64_t{64} << 30;
  numa.package = package;
  for (int i = 0; i < cores; ++i) {
    Core core;
    core.logical_index = static_cast<int>(node.cores.size());
    core.package = package;
    core.numa_node = numa.os_index;
    core.l3 = habits.cores_per_l3 == 0 ? kUnknown : numa.os_index * 100 + i / habits.cores_per_l3;
    for (int thread = 0; thread < habits.smt; ++thread) {
      const int at = habits.linux_numbers ? core.logical_index + thread * total
                                          : core.logical_index * habits.smt + thread;
      core.pus.insert(habits.first_pu + at * habits.pu_step);
    }
    numa.present_cpus = numa.present_cpus.united(core.pus);
    node.cores.push_back(core);
  }
  node.present = node.present.united(numa.present_cpus);
  node.numa_nodes.push_back(numa);
}

CpuSet some_of(const CpuSet& set, int one_in, Dice& dice) {
  CpuSet kept;
  for (const int cpu : set.to_vector()) {
    if (one_in == 0 || !dice.one_in(one_in)) kept.insert(cpu);
  }
  return kept;
}

// Takes CPUs away; at least one stays.
void narrow(NodeInventory& node, const Habits& habits, Dice& dice) {
  const CpuSet online = some_of(node.present, habits.offline_one_in, dice);
  if (!online.empty()) node.present = online;
  const CpuSet allowed = some_of(node.present, habits.disallowed_one_in, dice);
  node.allowed = allowed.empty() ? node.present : allowed;
  if (dice.one_in(8)) {  // a cpuset of one NUMA node
    const auto& numa = node.numa_nodes[static_cast<std::size_t>(
        dice.between(0, static_cast<int>(node.numa_nodes.size()) - 1))];
    const CpuSet inside = node.allowed.intersection(numa.present_cpus);
    if (!inside.empty()) node.allowed = inside;
  }
  std::vector<Core> cores;
  int logical = 0;
  for (Core core : node.cores) {
    if (core.pus.intersection(node.present).empty()) continue;
    core.logical_index = logical++;
    core.pus = core.pus.intersection(node.allowed);
    if (core.pus.empty()) continue;
    core.allowed_index = static_cast<int>(cores.size());
    cores.push_back(core);
  }
  node.cores = cores;
  for (NumaNode& numa : node.numa_nodes) {
    numa.present_cpus = numa.present_cpus.intersection(node.present);
    numa.cpus = numa.present_cpus.intersection(node.allowed);
    numa.memory_allowed = !dice.one_in(20) || !numa.cpus.empty();
  }
}

void add_distances(NodeInventory& node) {
  for (NumaNode& from : node.numa_nodes) {
    for (const NumaNode& to : node.numa_nodes) {
      from.distances.push_back(from.os_index == to.os_index ? 10
                               : from.package == to.package ? 12
                                                            : 32);
    }
  }
}

template <typename Device>
void put_somewhere(const NodeInventory& node, bool known, Device& device, Dice& dice) {
  if (!known) return;
  const NumaNode& numa = node.numa_nodes[static_cast<std::size_t>(
      dice.between(0, static_cast<int>(node.numa_nodes.size()) - 1))];
  device.numa_node = numa.os_index;
  device.package = numa.package;
  device.locality_source = LocalitySource::kSysfs;
  if (dice.one_in(2))
    device.upstream = {fmt::format("0000:{:02x}:00.0", 0xe0 + dice.between(0, 7))};
}

void add_devices(NodeInventory& node, Dice& dice) {
  const bool all_known = !dice.one_in(4);
  const int gpus = dice.one_in(6) ? 0 : dice.one_in(10) ? 16 : dice.between(1, 8);
  for (int i = 0; i < gpus; ++i) {
    Gpu gpu;
    gpu.visible_ordinal = i;
    gpu.physical_index = i;
    gpu.uuid = fmt::format("GPU-{:08x}", i);
    gpu.bus_id = fmt::format("0000:{:02x}:00.0", 0x10 + i);
    put_somewhere(node, all_known || dice.one_in(2), gpu, dice);
    node.gpus.push_back(gpu);
  }
  const int nics = dice.one_in(2) ? 0 : dice.between(1, 8);
  for (int i = 0; i < nics; ++i) {
    Nic nic;
    nic.name = fmt::format("mlx5_{}", i);
    nic.bus_id = fmt::format("0000:{:02x}:00.0", 0x80 + i);
    nic.kind = topology::NicKind::kInfiniBand;
    nic.port = 1;
    put_somewhere(node, all_known || dice.one_in(2), nic, dice);
    if (dice.one_in(6)) nic.unfit = "down";
    node.nics.push_back(nic);
  }
}

}  // namespace

topology::NodeInventory random_node(Dice& dice) {
  const Habits habits = random_habits(dice);
  NodeInventory node;
  node.hostname = "random";
  node.package_count = dice.one_in(3) ? 1 : dice.one_in(5) ? dice.between(3, 4) : 2;
  const int numa_per_package = dice.between(1, 4);
  const bool odd_sizes = dice.one_in(4);
  const int size = dice.between(1, 12);
  std::vector<int> sizes;
  int total = 0;
  for (int i = 0; i < node.package_count * numa_per_package; ++i) {
    sizes.push_back(odd_sizes ? dice.between(1, 12) : size);
    total += sizes.back();
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    add_numa_node(node, habits, static_cast<int>(i) / numa_per_package, sizes[i], total);
  }
  narrow(node, habits, dice);
  if (dice.one_in(2)) add_distances(node);
  add_devices(node, dice);
  return node;
}

int random_process_count(const NodeInventory& node, Dice& dice) {
  const int cores = static_cast<int>(node.cores.size());
  const int gpus = static_cast<int>(node.gpus.size());
  if (gpus > 0 && dice.one_in(2)) return dice.between(1, gpus);
  return dice.one_in(8) ? cores + dice.between(1, 4) : dice.between(1, std::min(cores, 24));
}

PlacementRequest random_request(const NodeInventory& node, Dice& dice) {
  PlacementRequest request;
  request.process_count.value = random_process_count(node, dice);
  config::Resources& resources = request.resources;
  if (dice.one_in(4)) resources.gpus_per_process.value = dice.between(0, 3);
  if (dice.one_in(4)) resources.cores_per_process.value = dice.between(1, 4);
  if (dice.one_in(4)) resources.reserve_cores.value = dice.between(1, 4);
  const int assignment = dice.between(0, 5);
  resources.gpu_assignment.value = assignment == 0   ? config::GpuAssignment::kOrdinal
                                   : assignment == 1 ? config::GpuAssignment::kSpread
                                                     : config::GpuAssignment::kBlock;
  const int layout = dice.between(0, 7);
  resources.layout.value = layout == 0   ? config::CoreLayout::kStrict
                           : layout == 1 ? config::CoreLayout::kBalanced
                           : layout == 2 ? config::CoreLayout::kSpill
                                         : config::CoreLayout::kBest;
  if (dice.one_in(3)) {
    HeldByRun other{"other-run", 4711, some_of(node.allowed, 2, dice), {}};
    for (const Gpu& gpu : node.gpus) {
      if (dice.one_in(3)) other.gpus.push_back(gpu.uuid);
    }
    request.held.push_back(std::move(other));
  }
  return request;
}

}  // namespace muster::plan
