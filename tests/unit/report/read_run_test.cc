#include "launcher/report/read_run.h"

#include "launcher/report/run_json.h"
#include "tests/support/scratch.h"

namespace muster::report {
namespace {

using namespace std::chrono_literals;

const plan::WallTime kStart(1'700'000'000s);

RunRecord failed_run() {
  RunRecord record;
  record.run_id = "r1";
  record.created_at = kStart - 1s;
  record.launcher = {"node-a", 42, 7, "boot", "pid:[1]", true};
  record.command_line = {"muster", "run", "run.yaml"};
  record.plan.backend = config::Backend::kMpi;
  record.plan.world_size = 1;
  record.plan.nodes = {{0, "node-a"}};
  record.plan.argv = {"python3", "train.py"};
  plan::RunOutcome outcome;
  outcome.status = plan::RunStatus::kFailed;
  outcome.exit_code = 139;
  outcome.first_failure = {0, plan::FailureOrigin::kTraining, "signaled", 11, "killed by SIGSEGV"};
  outcome.ranks.resize(1);
  outcome.ranks[0].end = plan::RankEnd::kExited;
  outcome.ranks[0].status = ExitStatus::signaled(11);
  outcome.ranks[0].training_pid = 4711;
  outcome.ranks[0].started_at = kStart + 1ms;
  outcome.ended_at = kStart + 3s;
  record.attempts = {{0, kStart, outcome}};
  return record;
}

TEST(ReadRun, ReadsWhatRunJsonWrites) {
  const auto view = parse_run(run_json(failed_run()));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->run_id, "r1");
  EXPECT_EQ(view->status, "failed");
  EXPECT_EQ(view->exit_code, 139);
  EXPECT_EQ(view->origin, "training");
  ASSERT_TRUE(view->first_failure);
  EXPECT_EQ(view->first_failure->rank, 0);
  EXPECT_EQ(view->first_failure->description, "killed by SIGSEGV");
  EXPECT_EQ(view->created_at, kStart - 1s);
  EXPECT_EQ(view->started_at, kStart);
  EXPECT_EQ(view->ended_at, kStart + 3s);
  EXPECT_FALSE(view->is_unfinished());
  EXPECT_EQ(view->launcher.hostname, "node-a");
  EXPECT_EQ(view->launcher.pid, 42);
  EXPECT_EQ(view->launcher.start_time, 7U);
  EXPECT_EQ(view->launcher.boot_id, "boot");
  EXPECT_EQ(view->launcher.pid_namespace, "pid:[1]");
  EXPECT_TRUE(view->launcher.holds_lock);
  EXPECT_EQ(view->command_line.size(), 3U);
  EXPECT_EQ(view->distributed_backend, "mpi");
  EXPECT_EQ(view->world_size, 1);
  EXPECT_EQ(view->argv, (std::vector<std::string>{"python3", "train.py"}));
  EXPECT_EQ(view->hostnames, std::vector<std::string>{"node-a"});
  ASSERT_EQ(view->attempts.size(), 1U);
  ASSERT_EQ(view->attempts[0].ranks.size(), 1U);
  const RankView& rank = view->attempts[0].ranks[0];
  EXPECT_EQ(rank.how, "signaled");
  EXPECT_EQ(rank.signal, "SIGSEGV");
  EXPECT_EQ(rank.exit_code, std::nullopt);
  EXPECT_EQ(rank.pid, 4711);
  EXPECT_EQ(rank.started_at, kStart + 1ms);
}

TEST(ReadRun, ARunWithoutAnEndIsUnfinished) {
  RunRecord record = failed_run();
  record.attempts[0].outcome.reset();
  const auto view = parse_run(run_json(record));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->status, "running");
  EXPECT_TRUE(view->is_unfinished());
  EXPECT_EQ(view->exit_code, std::nullopt);
  EXPECT_EQ(view->first_failure, std::nullopt);
}

TEST(ReadRun, WhatIsMissingUnknownOrOfAnotherTypeIsNoError) {
  for (const char* text :
       {"{}", R"({"run_id": 7, "exit_code": "0", "plan": [], "attempts": {"a": 1}})",
        R"({"new_in_9": {"x": [1]}, "attempts": [7, null, {"ranks": [[]]}], "launcher": 3})",
        R"({"exit_code": 1e300, "launcher_pid": 99999999999999999999, "world_size": -1e9})",
        R"({"exit_code": 18446744073709551615, "created_at": "yesterday", "argv": [1]})",
        "{\"run_id\": \"\xff\xfe\"}"}) {
    const auto view = parse_run(text);
    if (!view) {
      EXPECT_EQ(view.error().message, "it is not JSON") << text;  // not UTF-8
      continue;
    }
    EXPECT_EQ(view->exit_code, std::nullopt) << text;
    EXPECT_EQ(view->launcher.pid, 0) << text;
  }
}

TEST(ReadRun, WhatIsNoObjectIsAnError) {
  for (const char* text : {"", "{", "[]", "null", "\"x\"", "{\"a\": 1} b", "\x01"}) {
    EXPECT_FALSE(parse_run(text)) << text;
  }
  EXPECT_FALSE(parse_run(std::string(100'000, '['))) << "and no deep recursion";
}

class ReadRunTest : public test::ScratchTest {};

TEST_F(ReadRunTest, AnErrorNamesTheFile) {
  const store::RunDirectory run(scratch());
  auto view = read_run(run);
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().message,
            "reading " + run.run_json().string() + ": No such file or directory");
  write("run.json", "{\"status\"");
  view = read_run(run);
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().message, "reading " + run.run_json().string() + ": it is not JSON");
}

}  // namespace
}  // namespace muster::report
