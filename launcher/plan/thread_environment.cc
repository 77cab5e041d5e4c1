// OMP_NUM_THREADS: without it every rank would start as many threads as the node has cores.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_families.h"

namespace muster::plan {
namespace {

constexpr const char* kName = "OMP_NUM_THREADS";

int ranks_on_node(const LaunchPlan& plan, int node_rank) {
  return static_cast<int>(
      std::count_if(plan.ranks.begin(), plan.ranks.end(),
                    [&](const RankPlacement& rank) { return rank.node_rank == node_rank; }));
}

// Whole cores of the rank, at least 1, and no more than its part of the cgroup's CPU time.
int thread_count(const FamilyFacts& facts, const RankPlacement& rank) {
  const auto& node = facts.node_of(rank);
  int threads = std::max(1, rank.core_count);
  if (node.cpu_quota) {
    const double part = *node.cpu_quota / ranks_on_node(facts.plan, rank.node_rank);
    threads = std::min(threads, std::max(1, static_cast<int>(std::floor(part))));
  }
  return threads;
}

}  // namespace

void add_thread_count(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  facts.defaults.add_to(variables, kName, std::to_string(thread_count(facts, rank)));
}

void explain_threads(const FamilyFacts& facts, LaunchPlan& plan) {
  if (const auto* setting = set_by_config(facts.config, kName)) {
    plan.reasons.push_back({kName, setting->value, setting->origin.text});
    return;
  }
  if (const auto caller = facts.inputs.caller_environment.find(kName);
      caller != facts.inputs.caller_environment.end()) {
    plan.reasons.push_back({kName, caller->second, "the caller's environment"});
    return;
  }
  int fewest = std::numeric_limits<int>::max();
  int most = 0;
  bool capped = false;
  for (const RankPlacement& rank : plan.ranks) {
    const int threads = thread_count(facts, rank);
    fewest = std::min(fewest, threads);
    most = std::max(most, threads);
    capped = capped || threads < rank.core_count;
  }
  std::string why = plan.oversubscribed ? "more ranks than cores" : "whole cores of each rank";
  if (capped) {
    why = fmt::format("the cgroup grants {:.2f} CPUs of time to {}",
                      *facts.inputs.nodes.front().cpu_quota,
                      counted(static_cast<std::int64_t>(plan.ranks.size()), "rank"));
  }
  const std::string range = fewest < most ? std::to_string(fewest) + " to " : "";
  plan.reasons.push_back({kName, range + std::to_string(most), why});
}

}  // namespace muster::plan
