// Plans a run on many nodes that all differ, 8 ranks each: plan_nodes NODES ROUNDS
//
// Prints the nanoseconds of each round: make_plan alone, from the nodes' inventories to the plan.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "launcher/plan/make_plan.h"
#include "many_nodes.h"

int main(int argc, char** argv) {
  using namespace muster;
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
