#include "launcher/plan/node_part.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/text.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/placement_words.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::plan {

NodePart part_of(const LaunchPlan& plan, int node_rank) {
  const NodePlan& node = plan.node(node_rank);
  NodePart part;
  part.node_rank = node_rank;
  part.node_count = plan.node_count;
  part.world_size = plan.world_size;
  part.rank_count = node.rank_count;
  part.first_rank = node.first_rank;
  part.process_count_per_node = plan.process_count_per_node;
  part.master_address = plan.network.master_address;
  part.own_address = node.address;
  part.interface = node.interface;
  part.socket_family = plan.network.ipv6 ? "AF_INET6" : "";
  part.node_addresses = plan.network.addresses;
  part.node_cores = plan.network.core_counts;
  part.node_rank_counts = plan.network.rank_counts;
  return part;
}

std::string placement_digest(const LaunchPlan& plan, int node_rank) {
  std::string text = fmt::format("world {} nodes {}\n", plan.world_size, plan.node_count);
  const NodePlan& node = plan.node(node_rank);
  text += fmt::format("layout {} visible {}\n", node.layout, join(node.visible_devices, ","));
  for (int rank = node.first_rank; rank < node.first_rank + node.rank_count; ++rank) {
    const RankPlacement& placed = plan.rank(rank);
    std::vector<std::string> gpus;
    for (const topology::Gpu& gpu : placed.gpus) {
      gpus.push_back(gpu.uuid.empty() ? std::to_string(gpu.visible_ordinal) : gpu.uuid);
    }
    text += fmt::format("{} {} {} {} cpus {} memory {} {} gpus {} nics {} role {} {}\n",
                        placed.rank, placed.local_rank, placed.node_rank, placed.bound,
                        placed.cpuset.to_string(), to_word(placed.memory_policy),
                        CpuSet::from_vector(placed.memory_nodes).to_string(), join(gpus, ","),
                        join(placed.nics, ","), to_string(placed.role), placed.role_index);
  }
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace muster::plan
