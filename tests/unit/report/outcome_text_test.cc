#include "launcher/report/outcome_text.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "collector/store/run_directory.h"
#include "launcher/report/outcome_groups.h"

namespace muster::report {
namespace {

using namespace std::chrono_literals;
using plan::RankEnd;
using testing::HasSubstr;
using testing::Not;

// Eight ranks on two nodes that all ended well, until a test says otherwise.
class OutcomeTextTest : public testing::Test {
 protected:
  OutcomeTextTest() {
    plan_.world_size = 8;
    plan_.nodes = {{0, "node-a"}, {1, "node-b"}};
    outcome_.started_at = plan::WallTime(1'700'000'000s);
    outcome_.ended_at = outcome_.started_at + 12'300ms;
    for (int rank = 0; rank < 8; ++rank) {
      plan_.ranks.push_back({rank, rank % 4, rank / 4});
      plan::RankOutcome ended;
      ended.rank = rank;
      ended.end = RankEnd::kExited;
      ended.started_at = outcome_.started_at + 300ms;
      ended.ended_at = outcome_.ended_at;
      outcome_.ranks.push_back(ended);
    }
    context_.run_id = "r1";
    context_.run_directory = directory_.path().string();
  }

  plan::RankOutcome& rank(int number) { return outcome_.ranks[static_cast<std::size_t>(number)]; }

  void ends(int number, RankEnd end, ExitStatus status) {
    rank(number).end = end;
    rank(number).status = status;
  }

  void fails_first(std::optional<int> number, std::string how, int value, std::string description,
                   plan::FailureOrigin origin = plan::FailureOrigin::kTraining) {
    outcome_.status = plan::RunStatus::kFailed;
    outcome_.exit_code = value;
    outcome_.first_failure = {number, origin, std::move(how), value, std::move(description)};
  }

  void rank_exits_first(int number, int code) {
    ends(number, RankEnd::kExited, ExitStatus::exited(code));
    rank(number).ended_at = outcome_.started_at + 2'300ms;
    fails_first(number, "exited", code, "exited with " + std::to_string(code));
    outcome_.exit_code = code;
  }

  void others_are_stopped(int first, int signal) {
    for (int other = 0; other < 8; ++other) {
      if (other != first) ends(other, RankEnd::kStopped, ExitStatus::signaled(signal));
    }
  }

  void wrote(const std::filesystem::path& file, std::string_view text) {
    ASSERT_TRUE(make_directories(file.parent_path()));
    ASSERT_TRUE(replace_file(file, text));
  }

  // The report, with the run directory's name shortened to "RUN".
  std::string report() const {
    std::string text = report_text(outcome_, plan_, context_);
    const std::string name = context_.run_directory;
    for (std::size_t at = 0; (at = text.find(name, at)) != text.npos;)
      text.replace(at, name.size(), "RUN");
    return text;
  }

  TemporaryDirectory directory_ =
      std::move(*TemporaryDirectory::create(std::filesystem::temp_directory_path(), "outcome-"));
  store::RunDirectory files_{directory_.path()};
  plan::LaunchPlan plan_;
  plan::RunOutcome outcome_;
  ReportContext context_;
};

TEST_F(OutcomeTextTest, TellsASuccessInFewLines) {
  EXPECT_EQ(report(),
            "muster: run r1 succeeded: 8 ranks in 12.3 s\n"
            "  what the ranks wrote: RUN/ranks\n");
  context_.outputs = {3, 1536};
  EXPECT_EQ(report(),
            "muster: run r1 succeeded: 8 ranks in 12.3 s\n"
            "  results: RUN/outputs (3 files, 1.5 KiB)\n"
            "  what the ranks wrote: RUN/ranks\n");
}

TEST_F(OutcomeTextTest, TellsWhoFailedFirstAndWhatBecameOfTheOthers) {
  rank_exits_first(5, 7);
  others_are_stopped(5, SIGTERM);
  ends(2, RankEnd::kStopped, ExitStatus::signaled(SIGKILL));
  wrote(files_.rank_stderr(5, 0), "Traceback (most recent call last):\nValueError: no data\n");
  wrote(files_.rank_stdout(5, 0), "step 1\n");
  EXPECT_EQ(report(),
            "muster: rank 5 on node-b failed first, after 2.0 s: exited with 7\n"
            "  its last lines on stderr (RUN/ranks/00005/attempt-0/stderr.log):\n"
            "    | Traceback (most recent call last):\n"
            "    | ValueError: no data\n"
            "  the other 7 ranks were ended because of it: 6 by SIGTERM, 1 by SIGKILL\n"
            "  everything that the ranks wrote: RUN/ranks\n"
            "  exit code 7, origin: training\n");
}

TEST_F(OutcomeTextTest, ACrashOfARankThatWasBeingEndedIsNotOurSignal) {
  rank_exits_first(5, 7);
  others_are_stopped(5, SIGTERM);
  ends(2, RankEnd::kStopped, ExitStatus::signaled(SIGABRT));
  EXPECT_THAT(report(), HasSubstr("  the other 7 ranks were ended because of it: 6 by SIGTERM, "
                                  "1 crashed with SIGABRT while being ended\n"));
}

TEST_F(OutcomeTextTest, ShowsTheLastTwentyLinesOfThisAttempt) {
  rank_exits_first(0, 1);
  context_.attempt = 2;
  std::string text;
  for (int i = 1; i <= 30; ++i) text += "line " + std::to_string(i) + "\n";
  wrote(files_.rank_stderr(0, 2), text);
  wrote(files_.rank_stderr(0, 0), "of the first attempt\n");
  EXPECT_THAT(report(), HasSubstr("attempt-2/stderr.log):\n    | line 11\n"));
  EXPECT_THAT(report(), HasSubstr("    | line 30\n"));
  EXPECT_THAT(report(), Not(HasSubstr("first attempt")));
}

TEST_F(OutcomeTextTest, ShowsStdoutWhenStderrIsEmpty) {
  rank_exits_first(0, 1);
  wrote(files_.rank_stderr(0, 0), "");
  wrote(files_.rank_stdout(0, 0), "error: no such file\n");
  EXPECT_THAT(report(), HasSubstr("  it wrote nothing to stderr; its last lines on stdout "
                                  "(RUN/ranks/00000/attempt-0/stdout.log):\n"
                                  "    | error: no such file\n"));
  wrote(files_.rank_stdout(0, 0), "");
  EXPECT_THAT(report(), HasSubstr("  it wrote nothing to stderr or stdout\n"));
}

TEST_F(OutcomeTextTest, CutsAnEndlessLine) {
  rank_exits_first(0, 1);
  wrote(files_.rank_stderr(0, 0), std::string(5000, 'x') + "\x1b[2J\n");
  EXPECT_THAT(report(), HasSubstr("    | " + std::string(399, 'x') + "…\n"));
}

TEST_F(OutcomeTextTest, TellsASignalAndItsEvidence) {
  ends(3, RankEnd::kExited, ExitStatus::signaled(SIGKILL));
  rank(3).detail = "the kernel's OOM killer ended it: 12.0 GiB were in use";
  fails_first(3, "signaled", SIGKILL, "killed by SIGKILL (signal 9)");
  outcome_.exit_code = 137;
  EXPECT_THAT(report(), HasSubstr("rank 3 on node-a failed first, after 12.0 s: killed by SIGKILL "
                                  "(signal 9)\n"
                                  "  the kernel's OOM killer ended it: 12.0 GiB were in use\n"));
  EXPECT_THAT(report(), HasSubstr("  the other 7 ranks had ended with 0\n"));
  EXPECT_THAT(report(), HasSubstr("  exit code 137, origin: training\n"));
}

TEST_F(OutcomeTextTest, TellsEvidenceAndItsHint) {
  ends(3, RankEnd::kExited, ExitStatus::signaled(SIGKILL));
  ends(4, RankEnd::kExited, ExitStatus::signaled(SIGKILL));
  rank(3).evidence = {{"oom_kill", "its memory cgroup counted 1 OOM kill", "use less"},
                      {"no_space", "/tmp is full", "make room"}};
  rank(4).cause = "oom";
  fails_first(3, "signaled", SIGKILL, "killed for memory (SIGKILL)");
  EXPECT_THAT(report(), HasSubstr("failed first, after 12.0 s: killed for memory (SIGKILL)\n"
                                  "  its memory cgroup counted 1 OOM kill\n"
                                  "  /tmp is full\n"));
  EXPECT_THAT(report(), HasSubstr("  rank 4 was killed for memory (SIGKILL)\n"));
  EXPECT_THAT(report(), HasSubstr("  hint: use less\n"));
  EXPECT_THAT(report(), Not(HasSubstr("make room")));
}

TEST_F(OutcomeTextTest, TellsTheExceptionInTheHeadline) {
  rank_exits_first(3, 1);
  rank(3).error = plan::TrainingError{"ValueError: \x1b[2Jnan\nand more", std::nullopt, "stderr"};
  EXPECT_THAT(report(), HasSubstr("after 2.0 s: exited with 1 (ValueError: ^[[2Jnan)\n"));
  rank(3).status = ExitStatus::signaled(SIGABRT);
  EXPECT_THAT(report(), Not(HasSubstr("ValueError"))) << "it did not end by the exception";
}

TEST_F(OutcomeTextTest, KnowsTorchrunsPort) {
  rank_exits_first(3, 1);
  const auto stderr_log = files_.rank_stderr(3, 0);
  const auto hint = HasSubstr("  hint: when the ranks start torchrun in a script");
  wrote(stderr_log, "failed to bind to [::]:29500 (errno: 98 - Address already in use).\n");
  EXPECT_THAT(report(), hint);
  plan_.common_environment = {{"MASTER_PORT", "29500", "run.yaml:3:1"}};
  EXPECT_THAT(report(), Not(hint)) << "the port that the run was told";
  wrote(stderr_log, "EADDRINUSE: port: 29400\n");
  EXPECT_THAT(report(), hint);
  wrote(stderr_log, "bind to port 8080: Address already in use\n");
  EXPECT_THAT(report(), Not(hint));
}

TEST_F(OutcomeTextTest, KnowsThePortsThatHelperScriptsFix) {
  rank_exits_first(0, 1);
  const auto stderr_log = files_.rank_stderr(0, 0);
  const auto hint = HasSubstr("  hint: the script takes port 54965 whatever MASTER_PORT says");
  wrote(stderr_log, "The server socket has failed to listen. port: 54965, EADDRINUSE\n");
  EXPECT_THAT(report(), hint);
  plan_.common_environment = {{"MASTER_PORT", "54965", "run.yaml:3:1"}};
  EXPECT_THAT(report(), Not(hint));
  wrote(stderr_log, "failed to bind to [::]:61052: Address already in use\n");
  EXPECT_THAT(report(), Not(HasSubstr("the script takes port"))) << "61052 is not 6105";
}

TEST_F(OutcomeTextTest, TellsTheEndOfParameterServers) {
  plan_.ranks[1].role = plan::RankRole::kParameterServer;
  ends(1, RankEnd::kStopped, ExitStatus::signaled(SIGTERM));
  outcome_.status = plan::RunStatus::kSucceeded;
  EXPECT_THAT(report(), HasSubstr("  rank 1, a parameter server, was ended once every worker"));
}

TEST_F(OutcomeTextTest, TellsWhyAProgramCannotBeStartedOnce) {
  ends(0, RankEnd::kExecFailed, ExitStatus::exited(126));
  rank(0).evidence = {{"exec_format", "it is an empty file", "see whether it was copied"}};
  fails_first(0, "exec_failed", 126, "executing ./train: it is an empty file");
  EXPECT_THAT(report(), HasSubstr("executing ./train: it is an empty file\n  the other"));
  EXPECT_THAT(report(), HasSubstr("  hint: see whether it was copied\n"));
}

TEST_F(OutcomeTextTest, TellsEqualFailuresOnce) {
  rank_exits_first(3, 7);
  for (int other = 0; other < 8; ++other) ends(other, RankEnd::kExited, ExitStatus::exited(7));
  EXPECT_THAT(report(), HasSubstr("  the other 7 ranks failed in the same way\n"));
  ends(6, RankEnd::kExited, ExitStatus::exited(1));
  ends(7, RankEnd::kNotStarted, {});
  EXPECT_THAT(report(), HasSubstr("  ranks 0-2, 4, 5 failed in the same way\n"
                                  "  rank 6 exited with 1\n"
                                  "  rank 7 was never started\n"));
}

TEST_F(OutcomeTextTest, TellsAProgramThatCannotBeStartedWithoutItsLastLines) {
  for (int each = 0; each < 8; ++each) {
    ends(each, RankEnd::kExecFailed, ExitStatus::exited(127));
    rank(each).exec_failure = "executing ./train: no such file or directory";
  }
  fails_first(0, "exec_failed", 127, "executing ./train: no such file or directory");
  EXPECT_EQ(
      report(),
      "muster: rank 0 on node-a could not start its program: executing ./train: no such file "
      "or directory\n"
      "  the other 7 ranks failed in the same way\n"
      "  hint: a program is found on PATH or by a path (./train.sh); a Python script needs its "
      "interpreter: python3 train.py\n"
      "  everything that the ranks wrote: RUN/ranks\n"
      "  exit code 127, origin: training\n");
}

TEST_F(OutcomeTextTest, NamesPython3WhereAShellSaysThatThereIsNoPython) {
  const auto stderr_log = store::RunDirectory(directory_.path()).rank_stderr(3, 0);
  const std::string hint =
      "hint: there is no python on the ranks' PATH; python3 is /usr/bin/python3";
  rank_exits_first(3, 127);
  context_.python3 = "/usr/bin/python3";
  for (const char* words :
       {"start.sh: 2: python: not found\n", "start.sh: line 2: python: command not found\nbye\n",
        "/usr/bin/env: 'python': No such file or directory\n",
        "/usr/bin/env: \u2018python\u2019: No such file or directory\n"}) {
    wrote(stderr_log, words);
    EXPECT_THAT(report(), HasSubstr(hint)) << words;
  }
  for (const char* words : {"start.sh: 2: ipython: not found\n",
                            "start.sh: 2: pythonic: not found\n", "no python\n", ""}) {
    wrote(stderr_log, words);
    EXPECT_THAT(report(), Not(HasSubstr("there is no python"))) << words;
  }
  wrote(stderr_log, "start.sh: 2: python: not found\n");
  context_.python3.clear();
  EXPECT_THAT(report(), Not(HasSubstr("there is no python")));
  context_.python3 = "/usr/bin/python3";
  rank_exits_first(3, 1);
  EXPECT_THAT(report(), Not(HasSubstr("there is no python")));
}

TEST_F(OutcomeTextTest, DoesNotSayFirstOfTheOnlyRank) {
  plan_.world_size = 1;
  outcome_.ranks.resize(1);
  rank_exits_first(0, 7);
  EXPECT_THAT(report(), HasSubstr("muster: rank 0 on node-a failed after 2.0 s: exited with 7\n"));
  EXPECT_THAT(report(), Not(HasSubstr("other")));
}

TEST_F(OutcomeTextTest, TellsMpirunsEndWithItsLastLines) {
  fails_first(std::nullopt, "mpirun_ended", 70, "killed by SIGKILL (signal 9)",
              plan::FailureOrigin::kMuster);
  context_.mpirun_log_tail = {"mpirun: noticed that something broke"};
  others_are_stopped(-1, SIGKILL);
  EXPECT_EQ(report(),
            "muster: mpirun was killed by SIGKILL (signal 9), after 12.3 s\n"
            "  mpirun's last lines (RUN/mpirun.log):\n"
            "    | mpirun: noticed that something broke\n"
            "  all 8 ranks were ended because of it: 8 by SIGKILL\n"
            "  everything that the ranks wrote: RUN/ranks\n"
            "  exit code 70, origin: muster\n");
}

TEST_F(OutcomeTextTest, SpeaksOfTwoRanksAsBoth) {
  plan_.world_size = 2;
  outcome_.ranks.resize(2);
  fails_first(std::nullopt, "mpirun_ended", 70, "killed by SIGKILL (signal 9)",
              plan::FailureOrigin::kMuster);
  for (int each = 0; each < 2; ++each) ends(each, RankEnd::kStopped, ExitStatus::signaled(SIGKILL));
  EXPECT_THAT(report(), HasSubstr("  both ranks were ended because of it: 2 by SIGKILL\n"));
}

TEST_F(OutcomeTextTest, SaysThatNoRankWasStarted) {
  for (int each = 0; each < 8; ++each) ends(each, RankEnd::kNotStarted, {});
  fails_first(std::nullopt, "start_timeout", 75, "", plan::FailureOrigin::kMuster);
  EXPECT_THAT(report(), HasSubstr("  no rank was started\n"));
}

TEST_F(OutcomeTextTest, SaysMpirunOnlyOnce) {
  fails_first(std::nullopt, "mpirun_ended", 1, "mpirun exited with 1 before all ranks had started",
              plan::FailureOrigin::kMuster);
  EXPECT_THAT(report(),
              HasSubstr("muster: mpirun exited with 1 before all ranks had started, after "
                        "12.3 s\n"));
}

TEST_F(OutcomeTextTest, TellsTheEvidenceOfALostAgentOnce) {
  ends(2, RankEnd::kAgentLost, {});
  fails_first(2, "agent_lost", 70, "its agent ended without a report",
              plan::FailureOrigin::kMuster);
  EXPECT_THAT(report(), HasSubstr("(Muster's own program) ended without a report\n"));
  rank(2).detail = "killed by SIGKILL (signal 9)";
  outcome_.first_failure->description = rank(2).detail;
  EXPECT_THAT(report(), HasSubstr("ended without a report: killed by SIGKILL (signal 9)\n"));
  EXPECT_THAT(report(), Not(HasSubstr("  killed by SIGKILL")));
}

TEST_F(OutcomeTextTest, SaysWhenClocksDoNotTellWhoWasFirst) {
  rank_exits_first(5, 7);
  outcome_.first_failure->doubt = "cannot tell between ranks 3 and 5 which failed first: ...";
  EXPECT_THAT(report(), HasSubstr("exited with 7\n  cannot tell between ranks 3 and 5 which "));
}

TEST_F(OutcomeTextTest, KeepsMpirunsLinesOutOfATrainingFailure) {
  rank_exits_first(0, 7);
  context_.mpirun_log_tail = {"mpirun noise"};
  EXPECT_THAT(report(), Not(HasSubstr("mpirun noise")));
}

TEST_F(OutcomeTextTest, HasASentenceForEachFailureOfMuster) {
  const auto headline = [&](std::optional<int> who, const char* how, int value) {
    fails_first(who, how, value, "the reason", plan::FailureOrigin::kMuster);
    const std::string text = report();
    return text.substr(0, text.find('\n'));
  };
  rank(2).end = RankEnd::kAgentLost;
  rank(2).detail = "the reason";
  EXPECT_EQ(
      headline(2, "agent_lost", 70),
      "muster: rank 2 on node-a was lost after 12.0 s, because its agent (Muster's own program) "
      "ended without a report: the reason");
  EXPECT_EQ(headline(std::nullopt, "start_timeout", 3),
            "muster: only 3 of 8 ranks had started within 10 min 00 s (join_timeout)");
  plan_.limits.max_run_duration.value = 90s;
  EXPECT_EQ(
      headline(std::nullopt, "time_limit", 124),
      "muster: run r1 was stopped at its time limit of 1 min 30 s (max_run_duration_seconds)");
  EXPECT_EQ(headline(std::nullopt, "run_directory", 73),
            "muster: run directory RUN could not be written any more, after 12.3 s: the reason");
  EXPECT_EQ(headline(std::nullopt, "something new", 70),
            "muster: run r1 failed after 12.3 s: the reason");
}

TEST_F(OutcomeTextTest, TellsACancelledRun) {
  fails_first(std::nullopt, "stopped", SIGINT, "stopped by SIGINT", plan::FailureOrigin::kMuster);
  outcome_.status = plan::RunStatus::kCancelled;
  outcome_.exit_code = 130;
  others_are_stopped(-1, SIGTERM);
  ends(1, RankEnd::kStopped, ExitStatus::exited(0));
  ends(2, RankEnd::kExited, ExitStatus::exited(0));
  EXPECT_EQ(report(),
            "muster: run r1 was cancelled by SIGINT after 12.3 s\n"
            "  ranks 0, 1, 3-7 were ended: 6 by SIGTERM, 1 by exiting with 0 when asked\n"
            "  rank 2 had ended with 0\n"
            "  everything that the ranks wrote: RUN/ranks\n"
            "  exit code 130, origin: muster\n");
}

TEST_F(OutcomeTextTest, TellsGapsAndWarningsAlsoOfASuccess) {
  outcome_.gaps = {{"ranks/00003/attempt-0/stdout.log", 4096, 10, "drain_timeout"},
                   {"ranks/00004/attempt-0/stdout.log", 1, std::nullopt, "launcher killed"}};
  outcome_.warnings = {"8 ranks formed 8 MPI worlds of one"};
  rank(1).binding_note = "runs on CPUs 0-3, planned were 4-7";
  EXPECT_THAT(report(),
              HasSubstr("  missing: 10 bytes of ranks/00003/attempt-0/stdout.log from offset 4096 "
                        "(drain_timeout)\n"
                        "  missing: an unknown number of bytes of "
                        "ranks/00004/attempt-0/stdout.log from offset 1 (launcher killed)\n"
                        "  warning: 8 ranks formed 8 MPI worlds of one\n"
                        "  warning: rank 1: runs on CPUs 0-3, planned were 4-7\n"));
  rank(0).binding_note = rank(1).binding_note;
  EXPECT_THAT(report(), HasSubstr("  warning: ranks 0, 1: runs on CPUs 0-3, planned were 4-7\n"));
  outcome_.gaps.assign(9, outcome_.gaps[0]);
  EXPECT_THAT(report(), HasSubstr("  missing: 4 more, listed in RUN/run.json\n"));
}

TEST_F(OutcomeTextTest, TellsHowMuchWasDroppedForWantOfRoom) {
  outcome_.incomplete.dropped_bytes = 110 << 20;
  outcome_.incomplete.dropped_ranges = 12;
  EXPECT_THAT(report(), HasSubstr("  missing: 110.0 MiB in 12 ranges, dropped for want of room"));
}

TEST_F(OutcomeTextTest, TellsOnceWhatTheHeadlineSays) {
  const std::string text = "3.0 MiB are not at the collector";
  fails_first(std::nullopt, "run_store", 0, text, plan::FailureOrigin::kMuster);
  outcome_.warnings = {"something else", text};
  const std::string told = report();
  EXPECT_THAT(told, HasSubstr(text));
  EXPECT_EQ(told.find(text), told.rfind(text));
  EXPECT_THAT(told, HasSubstr("  warning: something else\n"));
}

TEST_F(OutcomeTextTest, TellsOfRanksThatRunElsewhereThanPlannedAlsoAfterASuccess) {
  rank(2).placement_differences = {"process 4711 (python3) may use CPU 4 only, planned 4-7; why"};
  EXPECT_THAT(report(), HasSubstr("  warning: rank 2: process 4711 (python3) may use CPU 4 only, "
                                  "planned 4-7; why\n"));
  rank(1).placement_differences = {"process 99 (python3) may use CPU 0 only, planned 0-1,8; why",
                                   "its memory policy is default, planned preferred:1"};
  EXPECT_THAT(
      report(),
      HasSubstr("  warning: ranks 1, 2, for example rank 1: process 99 (python3) may use CPU "
                "0 only, planned 0-1,8; why\n"
                "  warning: rank 1: its memory policy is default, planned preferred:1\n"));
}

TEST(RankList, JoinsNeighbours) {
  EXPECT_EQ(rank_list({4}), "rank 4");
  EXPECT_EQ(rank_list({5, 0, 1, 2}), "ranks 0-2, 5");
  EXPECT_EQ(rank_list({1, 2}), "ranks 1, 2");
}

}  // namespace
}  // namespace muster::report
