#include "launcher/report/process_json.h"

#include <csignal>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace muster::report {
namespace {

using nlohmann::json;

PlanSummary two_ranks() {
  PlanSummary plan;
  plan.world_size = 2;
  plan.nodes = {{0, "node-a"}};
  plan.node_rank_of_rank = {0, 0};
  return plan;
}

plan::RankOutcome started(int rank, int pid) {
  plan::RankOutcome outcome;
  outcome.rank = rank;
  outcome.training_pid = pid;
  outcome.started_at = plan::WallTime();
  return outcome;
}

TEST(ProcessJsonTest, SaysWhichProcessIsWhere) {
  const json before = json::parse(process_info_json(two_ranks(), {}));
  ASSERT_EQ(before["processes"].size(), 2U);
  EXPECT_EQ(before["processes"][1]["pid"], nullptr);
  const json info = json::parse(process_info_json(two_ranks(), {started(1, 42), started(0, 41)}));
  EXPECT_EQ(info["processes"][1], (json{{"name", "rank_1"},
                                        {"rank", 1},
                                        {"node_rank", 0},
                                        {"node", "node-a"},
                                        {"pid", 42},
                                        {"log", "azureml-logs/70_driver_log_1.txt"}}));
}

TEST(ProcessJsonTest, TheStatusHasAzuresWords) {
  json status = json::parse(process_status_json(two_ranks(), {}, nullptr));
  EXPECT_EQ(status["status"], "Starting");
  EXPECT_EQ(status["processes"]["rank_0"]["status"], "Starting");
  status = json::parse(process_status_json(two_ranks(), {started(0, 1), started(1, 2)}, nullptr));
  EXPECT_EQ(status["status"], "Running");
  EXPECT_EQ(status["exit_code"], nullptr);
  EXPECT_EQ(status["processes"]["rank_1"]["status"], "Running");

  plan::RunOutcome outcome;
  outcome.status = plan::RunStatus::kFailed;
  outcome.exit_code = 7;
  outcome.ranks = {started(0, 1), started(1, 2)};
  outcome.ranks[0].end = plan::RankEnd::kStopped;
  outcome.ranks[0].status = ExitStatus::signaled(SIGTERM);
  outcome.ranks[1].end = plan::RankEnd::kExited;
  outcome.ranks[1].status = ExitStatus::exited(7);
  status = json::parse(process_status_json(two_ranks(), {}, &outcome));
  EXPECT_EQ(status["status"], "Failed");
  EXPECT_EQ(status["exit_code"], 7);
  EXPECT_EQ(status["processes"]["rank_0"], (json{{"status", "Canceled"}, {"exit_code", 143}}));
  EXPECT_EQ(status["processes"]["rank_1"], (json{{"status", "Failed"}, {"exit_code", 7}}));
}

}  // namespace
}  // namespace muster::report
