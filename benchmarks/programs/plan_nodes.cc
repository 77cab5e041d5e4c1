// Plans a run on many nodes that all differ, 8 ranks each: plan_nodes NODES ROUNDS
//
// Prints the nanoseconds of each round: make_plan alone, from the nodes' inventories to the plan.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "launcher/plan/make_plan.h"

namespace {

using namespace muster;

constexpr int kGpus = 8;

// Two packages with one to four NUMA nodes each, 8 GPUs and a network device for each of them, on
// other NUMA nodes on every machine.
topology::NodeInventory node_number(int number) {
  topology::NodeInventory node;
  node.hostname = "node-" + std::to_string(number);
  node.package_count = 2;
  const int numa_nodes = 2 << (number % 3);
  const int cores_per_numa = (number % 2 == 0 ? 16 : 24) + number / 3 % 7;
  const int cores = numa_nodes * cores_per_numa;
  for (int numa = 0; numa < numa_nodes; ++numa) {
    topology::NumaNode home;
    home.os_index = numa;
    home.memory_bytes = (std::uint64_t{256} << 30) + static_cast<std::uint64_t>(number);
    home.package = numa * 2 / numa_nodes;
    for (int i = 0; i < cores_per_numa; ++i) {
      topology::Core core;
      core.logical_index = numa * cores_per_numa + i;
      core.allowed_index = core.logical_index;
      core.package = home.package;
      core.numa_node = numa;
      core.l3 = core.logical_index / 8;
      core.pus = CpuSet{core.logical_index, core.logical_index + cores};
      home.cpus = home.cpus.united(core.pus);
      node.cores.push_back(core);
    }
    home.present_cpus = home.cpus;
    node.allowed = node.allowed.united(home.cpus);
    node.numa_nodes.push_back(home);
  }
  node.present = node.allowed;
  for (int i = 0; i < kGpus; ++i) {
    const auto numa = static_cast<std::size_t>((i * numa_nodes / kGpus + number) % numa_nodes);
    const topology::NumaNode& home = node.numa_nodes[numa];
    topology::Gpu gpu;
    gpu.visible_ordinal = i;
    gpu.physical_index = i;
    gpu.uuid = "GPU-" + std::to_string(number) + "-" + std::to_string(i);
    gpu.bus_id = "0000:" + std::to_string(10 + i) + ":00.0";
    gpu.numa_node = home.os_index;
    gpu.package = home.package;
    gpu.locality_source = topology::LocalitySource::kSysfs;
    node.gpus.push_back(gpu);
    topology::Nic nic;
    nic.name = "mlx5_" + std::to_string(i);
    nic.bus_id = "0000:" + std::to_string(30 + i) + ":00.0";
    nic.numa_node = home.os_index;
    nic.package = home.package;
    nic.kind = topology::NicKind::kInfiniBand;
    nic.port = 1;
    nic.state = topology::LinkState::kActive;
    node.nics.push_back(nic);
  }
  return node;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: plan_nodes NODES ROUNDS\n");
    return 64;
  }
  const int nodes = std::atoi(argv[1]);
  config::RunConfig config;
  config.run.value = config::Program{{"python3", "train.py"}};
  config.node_count.value = nodes;
  config.process_count_per_node.value = kGpus;
  config.distributed_backend.value = config::Backend::kDirect;
  plan::PlanInputs inputs;
  for (int number = 0; number < nodes; ++number) inputs.nodes.push_back(node_number(number));
  inputs.agent_executable = "/usr/bin/muster-agent";
  inputs.current_directory = "/srv/project";
  for (int round = 0; round < std::atoi(argv[2]); ++round) {
    const auto begin = std::chrono::steady_clock::now();
    const auto plan = plan::make_plan(config, inputs);
    const auto end = std::chrono::steady_clock::now();
    if (!plan) {
      std::fprintf(stderr, "plan_nodes: %s\n", plan.error().message.c_str());
      return 70;
    }
    if (plan->ranks.size() != static_cast<std::size_t>(nodes * kGpus)) {
      std::fprintf(stderr, "plan_nodes: the plan has %zu ranks\n", plan->ranks.size());
      return 70;
    }
    std::printf("%lld\n", static_cast<long long>((end - begin) / std::chrono::nanoseconds(1)));
  }
  return 0;
}
