#include "launcher/plan/environment_families.h"

#include <algorithm>

namespace muster::plan {
namespace {

constexpr int kAmd = 0x1002;

}  // namespace

OfAllNodes of_all_nodes(const LaunchPlan& plan, const PlanInputs& inputs) {
  OfAllNodes all;
  for (const RankPlacement& rank : plan.ranks) {
    all.any_rank_has_gpus = all.any_rank_has_gpus || !rank.gpus.empty();
    all.all_bound = all.all_bound && rank.bound;
  }
  for (const topology::NodeInventory& node : inputs.nodes) {
    for (const topology::Gpu& gpu : node.gpus) {
      (gpu.vendor == kAmd ? all.has_amd : all.has_other) = true;
    }
  }
  for (const NodePlan& node : plan.nodes) {
    const NodePlan& first = plan.nodes.front();
    all.visibility_decided = all.visibility_decided || !node.visible_devices.empty() ||
                             node.gpu_visibility == config::GpuVisibility::kOwn;
    all.equal_counts = all.equal_counts && node.rank_count == first.rank_count;
    all.equal_interfaces = all.equal_interfaces && node.interface == first.interface;
  }
  return all;
}

}  // namespace muster::plan
