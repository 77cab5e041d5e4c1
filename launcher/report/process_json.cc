#include "launcher/report/process_json.h"

#include <nlohmann/json.hpp>

#include "collector/store/azureml_names.h"

namespace muster::report {
namespace {

using Json = nlohmann::ordered_json;
using plan::RankEnd;

std::string process_name(int rank) {
  return "rank_" + std::to_string(rank);
}

const char* status_word(const plan::RankOutcome& rank, bool ended) {
  switch (rank.end) {
    case RankEnd::kNotStarted:
      if (ended) return "NotStarted";
      return rank.started_at ? "Running" : "Starting";
    case RankEnd::kExited: return rank.status.ok() ? "Completed" : "Failed";
    case RankEnd::kStopped: return rank.status.ok() ? "Completed" : "Canceled";
    case RankEnd::kExecFailed:
    case RankEnd::kAgentLost: return "Failed";
  }
  return "Failed";
}

const char* status_word(const plan::RunOutcome* outcome,
                        const std::vector<plan::RankOutcome>& ranks, int world_size) {
  if (outcome == nullptr) {
    return static_cast<int>(ranks.size()) < world_size ? "Starting" : "Running";
  }
  switch (outcome->status) {
    case plan::RunStatus::kSucceeded: return "Completed";
    case plan::RunStatus::kFailed: return "Failed";
    case plan::RunStatus::kCancelled: return "Canceled";
  }
  return "Failed";
}

const plan::RankOutcome* find_rank(const std::vector<plan::RankOutcome>& ranks, int rank) {
  for (const plan::RankOutcome& each : ranks) {
    if (each.rank == rank) return &each;
  }
  return nullptr;
}

std::string dumped(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string process_info_json(const PlanSummary& plan,
                              const std::vector<plan::RankOutcome>& ranks) {
  Json processes = Json::array();
  for (int rank = 0; rank < plan.world_size; ++rank) {
    const plan::RankOutcome* known = find_rank(ranks, rank);
    const int node_rank = plan.node_rank_of_rank[static_cast<std::size_t>(rank)];
    const plan::NodePlan& node = plan.nodes[static_cast<std::size_t>(node_rank)];
    const bool has_pid = known != nullptr && known->training_pid > 0;
    processes.push_back({{"name", process_name(rank)},
                         {"rank", rank},
                         {"node_rank", node_rank},
                         {"node", node.hostname},
                         {"pid", has_pid ? Json(known->training_pid) : Json(nullptr)},
                         {"log", store::driver_log(rank, plan.world_size).string()}});
  }
  return dumped({{"processes", processes}});
}

std::string process_status_json(const PlanSummary& plan,
                                const std::vector<plan::RankOutcome>& ranks,
                                const plan::RunOutcome* outcome) {
  const bool ended = outcome != nullptr;
  Json processes = Json::object();
  for (int rank = 0; rank < plan.world_size; ++rank) {
    const plan::RankOutcome* known = find_rank(ended ? outcome->ranks : ranks, rank);
    const plan::RankOutcome shown = known == nullptr ? plan::RankOutcome{} : *known;
    const bool has_code = shown.end == RankEnd::kExited || shown.end == RankEnd::kStopped ||
                          shown.end == RankEnd::kExecFailed;
    processes[process_name(rank)] = {
        {"status", status_word(shown, ended)},
        {"exit_code", has_code ? Json(shown.status.as_exit_code()) : Json(nullptr)}};
  }
  return dumped({{"status", status_word(outcome, ranks, plan.world_size)},
                 {"exit_code", ended ? Json(outcome->exit_code) : Json(nullptr)},
                 {"processes", processes}});
}

}  // namespace muster::report
