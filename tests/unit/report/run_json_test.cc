#include "launcher/report/run_json.h"

#include <csignal>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace muster::report {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

const plan::WallTime kStart(1'700'000'000s);

RunRecord running() {
  plan::LaunchPlan plan;
  plan.backend = config::Backend::kMpi;
  plan.world_size = 2;
  plan.process_count_per_node = 2;
  plan.nodes = {{0, "node-a"}};
  plan.ranks.resize(2);
  plan.ranks[1].rank = 1;
  plan.argv = {"python3", "train.py"};
  plan.mpirun = plan::MpirunCommand{"/usr/bin/mpirun", "4.1.4", {{{"-n", "2"}, "why"}}, {}};
  plan.warnings = {"of the plan"};

  RunRecord record;
  record.run_id = "r1";
  record.created_at = kStart - 1s;
  record.launcher = {"node-a", 42, 7, "boot", "pid:[1]", true};
  record.command_line = {"muster", "run", "run.yaml"};
  record.run_directory = "/data/runs/r1";
  record.plan = summarize(plan);
  record.attempts = {{0, kStart, std::nullopt}};
  return record;
}

RunRecord failed() {
  plan::RunOutcome outcome;
  outcome.status = plan::RunStatus::kFailed;
  outcome.exit_code = 7;
  outcome.first_failure = {1, plan::FailureOrigin::kTraining, "exited", 7, "exited with 7"};
  outcome.ranks.resize(2);
  outcome.ranks[0].end = plan::RankEnd::kStopped;
  outcome.ranks[0].status = ExitStatus::signaled(SIGTERM);
  outcome.ranks[1].rank = 1;
  outcome.ranks[1].end = plan::RankEnd::kExited;
  outcome.ranks[1].status = ExitStatus::exited(7);
  outcome.ranks[1].started_at = kStart + 1ms;
  outcome.ranks[1].ended_at = kStart + 2s;
  outcome.ranks[1].training_pid = 4711;
  outcome.ranks[1].cpuset = {2, 3};
  outcome.ranks[1].usage = {1.5, 0.25, 1 << 20};
  outcome.ranks[1].evidence = {{"oom_kill_of_other", "a worker", "use less"}, {"note", "b", ""}};
  outcome.ranks[1].error = plan::TrainingError{"ValueError: \xff", kStart + 1s, "error_file"};
  outcome.ranks[1].cause = outcome.first_failure->cause = "oom_of_child";
  outcome.gaps = {{"ranks/00000/attempt-0/stdout.log", 5, std::nullopt, "drain_timeout"}};
  outcome.warnings = {"of the run"};
  outcome.started_at = kStart;
  outcome.ended_at = kStart + 3s;

  RunRecord record = running();
  record.attempts[0].outcome = outcome;
  return record;
}

TEST(RunJson, SaysRunningUntilThereIsAnOutcome) {
  const json run = json::parse(run_json(running()));
  EXPECT_EQ(run["run_id"], "r1");
  EXPECT_EQ(run["status"], "running");
  EXPECT_TRUE(run["exit_code"].is_null());
  EXPECT_TRUE(run["origin"].is_null());
  EXPECT_TRUE(run["first_failure"].is_null());
  EXPECT_TRUE(run["ended_at"].is_null());
  EXPECT_EQ(run["created_at"], "2023-11-14T22:13:19.000000Z");
  EXPECT_EQ(run["started_at"], "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(run["hostname"], "node-a");
  EXPECT_EQ(run["launcher_pid"], 42);
  EXPECT_EQ(run["launcher"]["start_time"], 7);
  EXPECT_EQ(run["launcher"]["holds_lock"], true);
  EXPECT_EQ(run["command_line"], (json{"muster", "run", "run.yaml"}));
  EXPECT_EQ(run["attempts"][0]["status"], "running");
  EXPECT_EQ(run["attempts"][0]["ranks"], json::array());
}

TEST(RunJson, RepeatsWhatMattersOfThePlan) {
  const json plan = json::parse(run_json(running()))["plan"];
  EXPECT_EQ(plan["distributed_backend"], "mpi");
  EXPECT_EQ(plan["world_size"], 2);
  EXPECT_EQ(plan["node_count"], 1);
  EXPECT_EQ(plan["argv"], (json{"python3", "train.py"}));
  EXPECT_EQ(plan["mpirun"]["argv"], (json{"mpirun", "-n", "2"}));
  EXPECT_EQ(plan["mpirun"]["version"], "4.1.4");
}

TEST(RunJson, TellsAFailureAsTheReportDoes) {
  const json run = json::parse(run_json(failed()));
  EXPECT_EQ(run["status"], "failed");
  EXPECT_EQ(run["exit_code"], 7);
  EXPECT_EQ(run["origin"], "training");
  EXPECT_EQ(run["first_failure"]["rank"], 1);
  EXPECT_EQ(run["first_failure"]["how"], "exited");
  EXPECT_EQ(run["first_failure"]["value"], 7);
  EXPECT_EQ(run["first_failure"]["cause"], "oom_of_child");
  EXPECT_FALSE(run["first_failure"].contains("candidates"));
  auto doubted = failed();
  doubted.attempts.back().outcome->first_failure->candidates = {0, 1};
  EXPECT_EQ(json::parse(run_json(doubted))["first_failure"]["candidates"], (json{0, 1}));
  EXPECT_EQ(run["ended_at"], "2023-11-14T22:13:23.000000Z");
  EXPECT_EQ(run["gaps"], json::parse(R"([{"stream": "ranks/00000/attempt-0/stdout.log", "offset": 5,
                                          "length": null, "reason": "drain_timeout"}])"));
  EXPECT_EQ(run["warnings"], (json{"of the plan", "of the run"}));
}

TEST(RunJson, TellsHowEachRankEnded) {
  const json ranks = json::parse(run_json(failed()))["attempts"][0]["ranks"];
  EXPECT_EQ(ranks[0]["how"], "stopped");
  EXPECT_EQ(ranks[0]["value"], SIGTERM);
  EXPECT_EQ(ranks[0]["signal"], "SIGTERM");
  EXPECT_TRUE(ranks[0]["exit_code"].is_null());
  EXPECT_TRUE(ranks[0]["pid"].is_null());
  EXPECT_EQ(ranks[1]["how"], "exited");
  EXPECT_EQ(ranks[1]["value"], 7);
  EXPECT_EQ(ranks[1]["exit_code"], 7);
  EXPECT_EQ(ranks[1]["node_rank"], 0);
  EXPECT_EQ(ranks[1]["pid"], 4711);
  EXPECT_EQ(ranks[1]["cpuset"], "2-3");
  EXPECT_EQ(ranks[1]["started_at"], "2023-11-14T22:13:20.001000Z");
  EXPECT_EQ(ranks[1]["usage"]["user_seconds"], 1.5);
  EXPECT_EQ(ranks[1]["usage"]["max_rss_bytes"], 1 << 20);
  EXPECT_TRUE(ranks[0]["error"].is_null());
  EXPECT_EQ(ranks[1]["error"]["message"], "ValueError: \xef\xbf\xbd");
  EXPECT_EQ(ranks[1]["error"]["timestamp"], "2023-11-14T22:13:21.000000Z");
  EXPECT_EQ(ranks[1]["error"]["source"], "error_file");
  EXPECT_TRUE(ranks[0]["cause"].is_null());
  EXPECT_EQ(ranks[0]["evidence"], json::array());
  EXPECT_EQ(ranks[1]["cause"], "oom_of_child");
  EXPECT_EQ(ranks[1]["evidence"],
            json::parse(R"([{"kind": "oom_kill_of_other", "text": "a worker", "hint": "use less"},
                            {"kind": "note", "text": "b", "hint": null}])"));
  EXPECT_EQ(ranks[1]["stderr"], "ranks/00001/attempt-0/stderr.log");
}

TEST(RunJson, HasAWordForEachEnd) {
  RunRecord record = failed();
  plan::RankOutcome& rank = record.attempts[0].outcome->ranks[0];
  const auto how = [&](plan::RankEnd end, ExitStatus status) {
    rank.end = end;
    rank.status = status;
    return json::parse(run_json(record))["attempts"][0]["ranks"][0]["how"].get<std::string>();
  };
  EXPECT_EQ(how(plan::RankEnd::kNotStarted, {}), "not_started");
  EXPECT_EQ(how(plan::RankEnd::kExecFailed, ExitStatus::exited(127)), "exec_failed");
  EXPECT_EQ(how(plan::RankEnd::kExited, ExitStatus::signaled(9)), "signaled");
  EXPECT_EQ(how(plan::RankEnd::kAgentLost, {}), "agent_lost");
}

TEST(RunJson, TakesTheRunsOutcomeFromTheLastAttempt) {
  RunRecord record = failed();
  record.attempts.push_back(record.attempts[0]);
  record.attempts[1].attempt = 1;
  record.attempts[1].outcome->status = plan::RunStatus::kSucceeded;
  record.attempts[1].outcome->first_failure.reset();
  record.attempts[1].outcome->exit_code = 0;
  const json run = json::parse(run_json(record));
  EXPECT_EQ(run["status"], "succeeded");
  EXPECT_EQ(run["exit_code"], 0);
  EXPECT_TRUE(run["first_failure"].is_null());
  EXPECT_EQ(run["attempts"][0]["status"], "failed");
  EXPECT_EQ(run["attempts"][1]["ranks"][1]["stdout"], "ranks/00001/attempt-1/stdout.log");
  EXPECT_EQ(run["gaps"].size(), 2U) << "of all attempts";
}

TEST(RunJson, DoesNotThrowForBytesThatAreNotUtf8) {
  RunRecord record = failed();
  record.command_line.push_back("\xff\xfe");
  record.attempts[0].outcome->ranks[0].exec_failure = "executing \xc3: no";
  EXPECT_EQ(json::parse(run_json(record))["command_line"][3], "\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace muster::report
