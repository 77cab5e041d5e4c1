#include "launcher/report/runs_table.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launcher/report/run_summary.h"

namespace muster::report {
namespace {

using namespace std::chrono_literals;

const plan::WallTime kStart(1'700'000'000s);  // 2023-11-14T22:13:20Z

std::vector<RunRow> rows() {
  RunState failed;
  failed.phase = RunPhase::kEnded;
  failed.view.status = "failed";
  failed.view.world_size = 4;
  failed.view.exit_code = 7;
  failed.view.origin = "training";
  failed.view.first_failure = FailureView{3, "exited", 7, "training", "exited with 7"};
  failed.view.started_at = kStart;
  failed.view.ended_at = kStart + 90s;
  failed.view.argv = {"python3", "train.py", "a b"};
  RunState lost;
  lost.phase = RunPhase::kLost;
  lost.view.status = "running";
  lost.view.world_size = 64;
  lost.view.started_at = kStart;
  lost.view.argv = {"sh", "-c", "\x1b[31mrm\n-rf"};
  RunState running;
  running.view.status = "running";
  running.view.world_size = 1;
  running.view.started_at = kStart + 1h;
  running.view.argv = {"true"};
  return {{"r3", "/runs/r3", running, ""},
          {"r2", "/runs/r2", lost, ""},
          {"r1", "/runs/r1", failed, ""},
          {"r0", "/runs/r0", std::nullopt, "it is not JSON"}};
}

TEST(RunsTable, HasALineForEachRun) {
  EXPECT_EQ(
      runs_table(rows(), kStart + 2h, 0),
      "run  status                ranks  started                 duration  exit        first "
      "failure         command\n"
      "r3   running                   1  2023-11-14 23:13:20Z  1 h 00 min"
      "                                    true\n"
      "r2   lost (launcher gone)     64  2023-11-14 22:13:20Z            "
      "                                    sh -c 'rm -rf'\n"
      "r1   failed                    4  2023-11-14 22:13:20Z  1 min 30 s  7 training  rank 3 "
      "exited with 7  python3 train.py 'a b'\n"
      "r0   unreadable                                                     "
      "            it is not JSON\n");
}

TEST(RunsTable, SaysWhatIsMissing) {
  auto some = rows();
  some.erase(some.begin(), some.begin() + 2);
  some[0].state->view.missing = {1536, true, true, 3 << 20, 2};
  const std::string table = runs_table(some, kStart, 0);
  EXPECT_NE(table.find("exit        missing "), std::string::npos) << table;
  EXPECT_NE(table.find("7 training  1.5 KiB and more lost, 3.0 MiB undelivered, "
                       "2 files not stored  rank 3 exited with 7  python3"),
            std::string::npos)
      << table;
  const auto json = nlohmann::json::parse(runs_json(some, kStart));
  EXPECT_EQ(json[0]["missing"]["bytes"], 1536);
  EXPECT_EQ(json[0]["missing"]["undelivered"], true);
  EXPECT_EQ(json[0]["missing"]["files_not_stored"], 2);
  EXPECT_EQ(missing_text({0, true, true, 0, 1}), "some bytes lost, undelivered, 1 file not stored");
  EXPECT_EQ(missing_text({}), "");
}

TEST(RunsTable, CutsTheCommandToTheTerminal) {
  auto one = rows();
  one.erase(one.begin(), one.begin() + 2);
  one.pop_back();
  one[0].state->view.argv = {std::string(500, 'x')};
  const std::string table = runs_table(one, kStart, 100);
  const std::string line = table.substr(table.find('\n') + 1);
  EXPECT_NE(line.find("xxx…"), std::string::npos) << line;
  EXPECT_LT(line.size(), 115U);
}

TEST(RunsTable, JsonHasTheFacts) {
  const auto json = nlohmann::json::parse(runs_json(rows(), kStart + 2h));
  ASSERT_EQ(json.size(), 4U);
  EXPECT_EQ(json[0]["status"], "running");
  EXPECT_EQ(json[0]["duration_seconds"], 3600.0);
  EXPECT_TRUE(json[0]["exit_code"].is_null());
  EXPECT_EQ(json[1]["status"], "lost");
  EXPECT_TRUE(json[1]["duration_seconds"].is_null());
  EXPECT_EQ(json[2]["first_failure"]["rank"], 3);
  EXPECT_EQ(json[2]["exit_code"], 7);
  EXPECT_EQ(json[3]["status"], "unreadable");
  EXPECT_EQ(json[3]["problem"], "it is not JSON");
}

// What the catalogue keeps of a run is all that a list of runs shows.
TEST(RunSummary, IsListedAsTheRunIs) {
  for (RunRow row : rows()) {
    if (!row.state) continue;
    row.state->view.created_at = kStart - 1s;
    row.state->view.command_line = {"muster", "run", "\x01"};
    row.state->view.launcher.hostname = "node-a";
    row.state->view.missing = {12, true, true, 34, 5};
    const auto kept = run_of_summary(run_summary(row.state->view));
    if (row.state->view.is_unfinished()) {
      EXPECT_FALSE(kept) << "it may end, or be lost";
      continue;
    }
    ASSERT_TRUE(kept);
    RunRow again{row.run_id, row.run_directory, RunState{*kept, RunPhase::kEnded}, ""};
    EXPECT_EQ(runs_json({again}, kStart), runs_json({row}, kStart));
    EXPECT_EQ(runs_table({again}, kStart, 100), runs_table({row}, kStart, 100));
  }
  EXPECT_FALSE(run_of_summary(""));
  EXPECT_FALSE(run_of_summary("{\"ended_at\": 7}"));
  EXPECT_FALSE(run_of_summary("nonsense"));
}

}  // namespace
}  // namespace muster::report
