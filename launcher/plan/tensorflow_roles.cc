#include "launcher/plan/tensorflow_roles.h"

#include <algorithm>

#include <fmt/format.h>

namespace muster::plan {

Result<> assign_roles(const config::RunConfig& config, LaunchPlan& plan) {
  if (!config.tensorflow) return {};
  const int workers = config.tensorflow->worker_count.value;
  const int servers = config.tensorflow->parameter_server_count.value;
  if (workers + servers != plan.world_size) {
    return Failure(Error{
        ErrorCode::kConfig,
        fmt::format("tensorflow has {} workers and {} parameter servers, and the run {} processes",
                    workers, servers, plan.world_size),
        "leave out process_count_per_node: every role gets a process of its own",
        config.tensorflow->worker_count.origin.location});
  }
  for (RankPlacement& rank : plan.ranks) {
    const bool works = rank.rank < workers;
    rank.role = works ? RankRole::kWorker : RankRole::kParameterServer;
    rank.role_index = works ? rank.rank : rank.rank - workers;
  }
  return {};
}

bool has_roles(const LaunchPlan& plan) {
  return !plan.ranks.empty() && plan.ranks.front().role != RankRole::kAlike;
}

std::vector<int> servers(const LaunchPlan& plan) {
  std::vector<int> found;
  for (const RankPlacement& rank : plan.ranks) {
    if (rank.role == RankRole::kParameterServer) found.push_back(rank.rank);
  }
  return found;
}

std::string to_string(RankRole role) {
  switch (role) {
    case RankRole::kAlike: return "";
    case RankRole::kWorker: return "worker";
    case RankRole::kParameterServer: return "ps";
  }
  return "";
}

std::vector<std::string> addresses_of(const LaunchPlan& plan, RankRole role,
                                      const StartValues& start) {
  std::vector<std::string> addresses;
  for (const RankPlacement& rank : plan.ranks) {
    if (rank.role != role) continue;
    const auto index = static_cast<std::size_t>(rank.rank);
    const bool known = index < start.rank_ports.size();
    addresses.push_back(plan.network.master_address + ":" +
                        (known ? start.rank_ports[index] : "<set at start>"));
  }
  return addresses;
}

}  // namespace muster::plan
