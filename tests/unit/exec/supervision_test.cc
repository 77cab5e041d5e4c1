#include "launcher/exec/supervision.h"

#include "tests/unit/exec/supervision_fixture.h"

namespace muster::exec {
namespace {

using plan::RankEnd;

// ---- success ----

TEST_F(SupervisionTest, SucceedsWhenEveryRankEndsWithZero) {
  world(2);
  start_all();
  end(0, 0);
  quiet(0);
  EXPECT_EQ(told(), Phrases{}) << "the agent of a rank that has ended waits for the others";
  end(1, 0);
  EXPECT_EQ(told(), Phrases{}) << "something below the rank may still run";
  quiet(1);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  gone(0);
  gone(1);
  leaves_in_order();
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "succeeded, code 0");
  EXPECT_EQ(rank_end(0), RankEnd::kExited);
}

TEST_F(SupervisionTest, CountsWhoRuns) {
  world(2);
  EXPECT_TRUE(run_->starting());
  EXPECT_EQ(run_->running_count(), 0);
  start_all();
  EXPECT_FALSE(run_->starting());
  EXPECT_EQ(run_->running_count(), 2);
  end(0, 0);
  EXPECT_EQ(run_->running_count(), 1);
}

TEST_F(SupervisionTest, WithoutALimitARunMayTakeForever) {
  world(1);
  start(0);
  at(1'000'000'000);
  EXPECT_EQ(told(), Phrases{});
  EXPECT_FALSE(run_->next_deadline());
}

// ---- the first failure ----

TEST_F(SupervisionTest, AFailedRankStopsTheOthers) {
  world(3);
  start_all();
  end(1, 7);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,2"}));
  end(0, ExitStatus::signaled(SIGTERM));
  end(2, 0);
  for (const int rank : {0, 1, 2}) quiet(rank);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  leaves_in_order();
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "rank 1 exited 7, code 7, training");
  EXPECT_EQ(rank_end(0), RankEnd::kStopped);
  EXPECT_EQ(rank_end(1), RankEnd::kExited);
  EXPECT_EQ(rank_end(2), RankEnd::kStopped) << "it ended because it was told to";
}

TEST_F(SupervisionTest, ASignalIs128More) {
  world(2);
  start_all();
  end(0, ExitStatus::signaled(SIGSEGV));
  EXPECT_EQ(verdict(), "rank 0 signaled 11, code 139, training");
  EXPECT_EQ(outcome().first_failure->description, "killed by SIGSEGV (signal 11)");
}

TEST_F(SupervisionTest, TheFirstFailureIsTheFirstByTimeNotByArrival) {
  world(3);
  start_all();
  end(2, ExitStatus::exited(2), 5ms);
  end(0, ExitStatus::exited(3), 40ms);
  end(1, ExitStatus::exited(4), 20ms);
  EXPECT_EQ(verdict(), "rank 0 exited 3, code 3, training");
  EXPECT_EQ(rank_end(1), RankEnd::kExited) << "it failed before anybody was told to stop";
}

TEST_F(SupervisionTest, WhatEndsAfterTheStopIsNoFailureOfItsOwn) {
  world(2);
  start_all();
  end(0, 7);
  end(1, 9);
  EXPECT_EQ(verdict(), "rank 0 exited 7, code 7, training");
  EXPECT_EQ(rank_end(1), RankEnd::kStopped);
}

TEST_F(SupervisionTest, WhatItsAgentKilledIsNoFailureOfItsOwn) {
  world(2);
  start_all();
  end(0, 7);
  end(1, ExitStatus::signaled(SIGKILL), 1000ms, true);  // a clock that is a little behind
  EXPECT_EQ(rank_end(1), RankEnd::kStopped);
  EXPECT_EQ(verdict(), "rank 0 exited 7, code 7, training");
}

TEST_F(SupervisionTest, WhatMayHaveDiedOfOurSignalDidNotFailFirst) {
  world(4);
  start_all();
  end(1, ExitStatus::exited(65));
  // By its node's clock, which is known within 8 ms, it ended 4 ms before it was asked to.
  end(2, ExitStatus::signaled(SIGTERM), 4ms, false, 8ms);
  EXPECT_EQ(rank_end(2), RankEnd::kStopped);
  // Nobody has sent this one yet, and that one ended before for certain.
  end(0, ExitStatus::signaled(SIGKILL), 4ms, false, 8ms);
  EXPECT_EQ(rank_end(0), RankEnd::kExited);
  end(3, ExitStatus::signaled(SIGTERM), 1000ms, false, 8ms);
  EXPECT_EQ(rank_end(3), RankEnd::kExited);
  EXPECT_EQ(verdict(), "rank 3 signaled 15, code 143, training");
}

TEST_F(SupervisionTest, AFailedExecNamesItsCodeAndPhrase) {
  world(2);
  start(0);
  exec_fails(1, 127, "executing train: not found on PATH");
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
  EXPECT_EQ(verdict(), "rank 1 exec_failed 127, code 127, training");
  EXPECT_EQ(outcome().first_failure->description, "executing train: not found on PATH");
  EXPECT_EQ(rank_end(1), RankEnd::kExecFailed);
}

TEST_F(SupervisionTest, AnAgentThatRefusedIsMustersFailure) {
  world(1);
  exec_fails(0, 70, "its agent refused to start it: RANK is 3, the plan says 0");
  EXPECT_EQ(verdict(), "rank 0 exec_failed 70, code 70, muster");
}

// ---- agents and mpirun ----

TEST_F(SupervisionTest, ALostAgentIsMustersFailure) {
  world(2);
  start_all();
  gone(1);
  run_->note_agent_end(1, "killed by SIGKILL (signal 9)");
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
  EXPECT_EQ(verdict(), "rank 1 agent_lost 0, code 70, muster");
  EXPECT_EQ(outcome().first_failure->description,
            "its agent ended without a report: killed by SIGKILL (signal 9)");
  EXPECT_EQ(rank_end(1), RankEnd::kAgentLost);
}

TEST_F(SupervisionTest, AnAgentThatIsLostBeforeItsRankStartedIsNamedToo) {
  world(2);
  start(0);
  assign(1);
  gone(1);
  EXPECT_EQ(verdict(), "rank 1 agent_lost 0, code 70, muster");
  EXPECT_EQ(outcome().first_failure->description, "its agent ended without a report");
}

TEST_F(SupervisionTest, AnAgentThatIsLostAfterItsReportIsNoNews) {
  world(2);
  start_all();
  end(0, 0);
  gone(0);
  EXPECT_EQ(told(), Phrases{});
  end_quietly(1, 0);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(SupervisionTest, AnAgentThatIsLostDuringTheStopIsStopped) {
  world(2);
  start_all();
  end(0, 7);
  gone(1);
  EXPECT_EQ(rank_end(1), RankEnd::kStopped);
  EXPECT_EQ(verdict(), "rank 0 exited 7, code 7, training");
}

TEST_F(SupervisionTest, TheEndOfAConnectionIsToldOnce) {
  world(2);
  start_all();
  gone(1);
  told();
  gone(1);
  EXPECT_EQ(told(), Phrases{});
}

TEST_F(SupervisionTest, AnMpirunThatEndsBeforeTheStartIs75) {
  world(2);
  starter_ends(1);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  drained();
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "mpirun_ended 1, code 75, muster");
  EXPECT_EQ(outcome().first_failure->description,
            "mpirun exited with 1 before all ranks had started");
}

TEST_F(SupervisionTest, AnMpirunThatEndsWhileRanksRunIs70) {
  world(2);
  start_all();
  starter_ends(ExitStatus::signaled(SIGKILL));
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,1"}));
  end(0, ExitStatus::signaled(SIGKILL), 0ms, true);
  gone(0);
  gone(1);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  drained();
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "mpirun_ended 9, code 70, muster");
  EXPECT_EQ(outcome().first_failure->description,
            "mpirun killed by SIGKILL (signal 9) while ranks ran");
  EXPECT_EQ(rank_end(0), RankEnd::kStopped);
  EXPECT_EQ(rank_end(1), RankEnd::kStopped);
}

TEST_F(SupervisionTest, AnMpirunThatSignalsTheAgentsWithoutAReasonIsTheFailure) {
  world(2);
  start_all();
  at(1'000);
  mpirun_signals(0);
  mpirun_signals(1);
  at(1'499);
  EXPECT_EQ(told(), Phrases{});
  at(1'500);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,1"}));
  EXPECT_EQ(verdict(), "mpirun_ended 0, code 70, muster");
  EXPECT_EQ(run_->why_stopping(), "mpirun told every rank to end");
}

TEST_F(SupervisionTest, ARankThatFailsBehindThatSignalIsTheOneThatIsNamed) {
  world(2);
  start_all();
  at(1'000);
  mpirun_signals(0);
  at(1'400);
  end(1, 3);  // MPI_Abort(3)
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
  at(1'600);
  EXPECT_EQ(verdict(), "rank 1 exited 3, code 3, training");
}

TEST_F(SupervisionTest, ASignalFromMpirunAfterAllHaveEndedMeansNothing) {
  world(2);
  start_all();
  at(1'000);
  mpirun_signals(0);
  end_quietly(0, 0);
  end_quietly(1, 0);
  mpirun_signals(1);
  told();
  at(1'600);
  EXPECT_EQ(told(), Phrases{});
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

// ---- the disk ----

TEST_F(SupervisionTest, AFullDiskEndsTheRunWith73) {
  world(2);
  start_all();
  disk_fails();
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,1"}));
  disk_fails();  // every stream says so
  EXPECT_EQ(told(), Phrases{});
  EXPECT_EQ(verdict(), "run_directory 0, code 73, muster");
}

TEST_F(SupervisionTest, AFullDiskAfterARanksFailureChangesNoVerdict) {
  world(2);
  start_all();
  end(0, 7);
  told();
  disk_fails();
  EXPECT_EQ(told(), Phrases{});
  EXPECT_EQ(verdict(), "rank 0 exited 7, code 7, training");
}

TEST_F(SupervisionTest, ARankThatFailedBeforeTheDiskDidButIsToldLaterChangesNoVerdict) {
  world(2);
  start_all();
  disk_fails();
  end(0, 7);
  EXPECT_EQ(verdict(), "run_directory 0, code 73, muster");
}

TEST_F(SupervisionTest, ADiskThatFillsUpWithTheLastBytesStillIs73) {
  world(1);
  start(0);
  end_quietly(0, 0);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  disk_fails();
  EXPECT_EQ(told(), Phrases{}) << "nobody is left to be stopped";
  leaves_in_order();
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "run_directory 0, code 73, muster");
  EXPECT_EQ(rank_end(0), RankEnd::kExited);
  at(60'000);
  EXPECT_EQ(told(), Phrases{});
}

TEST_F(SupervisionTest, ADiskThatFillsUpWithTheLastBytesKillsNobodyWithoutAGrace) {
  limits_.failure_grace_period.value = 0ms;
  world(1);
  start(0);
  end_quietly(0, 0);
  told();
  disk_fails();
  EXPECT_EQ(told(), Phrases{});
}

// ---- the last part ----

TEST_F(SupervisionTest, StreamsThatDoNotEndAreCut) {
  world(1);
  start(0);
  at(1'000);
  end_quietly(0, 0);
  gone(0);
  all_agents_left();
  starter_ends(0);
  told();
  at(10'999);
  EXPECT_EQ(told(), Phrases{});
  at(11'000);
  EXPECT_EQ(told(), (Phrases{"cut", "finish"}));
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(SupervisionTest, StreamsThatEndedAreNotCut) {
  world(1);
  start(0);
  end_quietly(0, 0);
  told();
  drained();
  at(9'999);
  EXPECT_EQ(told(), Phrases{});
  at(10'001);
  EXPECT_EQ(told(), Phrases{});
}

TEST_F(SupervisionTest, AnMpirunThatLingersAfterItsAgentsIsKilled) {
  world(1);
  start(0);
  end_quietly(0, 0);
  gone(0);
  all_agents_left();
  drained();
  EXPECT_EQ(told(), (Phrases{"leave"}));
  at(199);
  EXPECT_EQ(told(), Phrases{});
  at(200);
  EXPECT_EQ(told(), (Phrases{"kill starter"}));
  at(10'000);
  EXPECT_EQ(told(), Phrases{}) << "once is enough";
  starter_ends(ExitStatus::signaled(SIGKILL));
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(SupervisionTest, AnMpirunThatSurvivesSigkillDoesNotKeepTheRunForEver) {
  world(1);
  start(0);
  end_quietly(0, 0);
  gone(0);
  all_agents_left();
  drained();
  at(200);
  EXPECT_EQ(told(), (Phrases{"leave", "kill starter"}));
  at(60'000);
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(SupervisionTest, WithoutPatienceAnMpirunWhoseRanksSucceededIsEndedAtOnce) {
  patience_ = 0ms;
  world(1);
  start(0);
  end_quietly(0, 0);
  told();
  all_agents_left();
  EXPECT_EQ(told(), (Phrases{"kill starter"}));
}

TEST_F(SupervisionTest, AfterAFailureMpirunMayHaveItsSayWhateverThePatience) {
  patience_ = 0ms;
  world(1);
  start(0);
  end_quietly(0, 7);
  told();
  all_agents_left();
  at(199);
  EXPECT_EQ(told(), Phrases{});
  at(200);
  EXPECT_EQ(told(), (Phrases{"kill starter"}));
}

TEST_F(SupervisionTest, AgentsThatDoNotLeaveAreEndedWithTheirStarter) {
  world(1);
  start(0);
  end_quietly(0, 0);
  drained();
  told();
  at(14'999);
  EXPECT_EQ(told(), Phrases{});
  at(15'000);
  EXPECT_EQ(told(), (Phrases{"kill starter"}));
}

TEST_F(SupervisionTest, FinishesOnceWhicheverComesLast) {
  for (const bool starter_first : {true, false}) {
    world(1);
    start(0);
    end_quietly(0, 0);
    gone(0);
    all_agents_left();
    told();
    if (starter_first) starter_ends(0);
    drained();
    if (!starter_first) {
      EXPECT_EQ(told(), Phrases{});
      starter_ends(0);
    }
    EXPECT_EQ(told(), (Phrases{"finish"}));
    drained();
    stop(SIGINT);
    disk_fails();
    at(100'000);
    EXPECT_EQ(told(), Phrases{});
    now_ = begin_;
  }
}

TEST_F(SupervisionTest, AStopRequestWhenAllHaveEndedOnlyCutsTheWaitForOutput) {
  world(1);
  start(0);
  end_quietly(0, 0);
  told();
  stop(SIGINT);
  EXPECT_EQ(told(), Phrases{"cut"});
  stop(SIGINT);
  EXPECT_EQ(told(), Phrases{});
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(SupervisionTest, RemembersWhichMpiLibraryARankUses) {
  world(1);
  start(0);
  run_->note_mpi_library(0, "libmpich.so.12");
  end(0, 0);
  EXPECT_EQ(outcome().ranks[0].mpi_library, "libmpich.so.12");
}

}  // namespace
}  // namespace muster::exec
