#include "launcher/exec/supervision.h"

#include "tests/unit/exec/supervision_fixture.h"

namespace muster::exec {
namespace {

using plan::RankEnd;

// ---- graces ----

TEST_F(SupervisionTest, WithoutAGraceTheOthersAreKilledAtOnce) {
  limits_.failure_grace_period.value = 0ms;
  world(3);
  start_all();
  end(1, 7);
  EXPECT_EQ(told(), (Phrases{"kill 0,1,2"})) << "and what rank 1 left behind";
}

TEST_F(SupervisionTest, WhatIsLeftAfterTheGraceIsKilled) {
  world(3);
  start_all();
  end(1, 7);
  end_quietly(0, 0);
  quiet(1);
  told();
  at(2'999);
  EXPECT_EQ(told(), Phrases{});
  at(3'000);
  EXPECT_EQ(told(), (Phrases{"kill 2"}));
  end(2, ExitStatus::signaled(SIGKILL), 0ms, true);
  quiet(2);
  EXPECT_EQ(told(), (Phrases{"leave"}));
}

TEST_F(SupervisionTest, ARankWhoseDescendantsOutliveTheGraceIsKilledToo) {
  world(1);
  start(0);
  stop(SIGTERM);
  end(0, 0);
  told();
  at(30'000);
  EXPECT_EQ(told(), (Phrases{"kill 0"}));
}

TEST_F(SupervisionTest, AStopFromOutsideHasItsOwnGrace) {
  world(2);
  start_all();
  stop(SIGTERM);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,1"}));
  at(29'999);
  EXPECT_EQ(told(), Phrases{});
  at(30'000);
  EXPECT_EQ(told(), (Phrases{"kill 0,1"}));
}

TEST_F(SupervisionTest, ASecondStopRequestSkipsTheGrace) {
  world(2);
  start_all();
  stop(SIGINT);
  told();
  at(100);
  stop(SIGINT);
  EXPECT_EQ(told(), (Phrases{"kill 0,1"}));
  stop(SIGINT);
  EXPECT_EQ(told(), Phrases{}) << "a third one has nothing left to do";
}

TEST_F(SupervisionTest, AHangupDuringAStopIsNoWishForHaste) {
  for (const int first : {SIGHUP, SIGINT}) {
    world(1);
    start(0);
    stop(first);
    told();
    stop(SIGHUP);
    EXPECT_EQ(told(), Phrases{});
    stop(SIGTERM);
    EXPECT_EQ(told(), (Phrases{"kill 0"}));
  }
}

TEST_F(SupervisionTest, AStopRequestDuringTheFailureGraceSkipsItAndChangesNoVerdict) {
  world(2);
  start_all();
  end(0, 7);
  told();
  stop(SIGINT);
  EXPECT_EQ(told(), (Phrases{"kill 0,1"}));
  EXPECT_EQ(verdict(), "rank 0 exited 7, code 7, training");
}

TEST_F(SupervisionTest, WhatDoesNotReactToSigkillIsGivenUp) {
  limits_.stop_grace_period.value = 0ms;
  world(2);
  start_all();
  stop(SIGTERM);
  end_quietly(0, 0);
  told();
  at(14'999);
  EXPECT_EQ(told(), Phrases{});
  at(15'000);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  EXPECT_EQ(rank_end(1), RankEnd::kStopped);
  EXPECT_NE(outcome().ranks[1].detail, "");
}

// ---- stop requests ----

TEST_F(SupervisionTest, AStoppedRunIs128PlusTheSignal) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    world(1);
    start(0);
    stop(number);
    end_quietly(0, 0);
    leaves_in_order();
    EXPECT_EQ(verdict(), "cancelled: stopped " + std::to_string(number) + ", code " +
                             std::to_string(128 + number) + ", muster");
    EXPECT_EQ(rank_end(0), RankEnd::kStopped);
  }
}

TEST_F(SupervisionTest, AStopThatSomebodyAskedForNamesThem) {
  world(1);
  start(0);
  take(run_->stop_requested(SIGTERM, now_, "muster cancel (user anna)"));
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
  stop(SIGINT);
  EXPECT_EQ(told(), (Phrases{"kill 0"}));
  end_quietly(0, 0);
  leaves_in_order();
  EXPECT_EQ(outcome().exit_code, 143);
  EXPECT_EQ(outcome().first_failure->description, "stopped by muster cancel (user anna)");
}

TEST_F(SupervisionTest, ARankThatFailedBeforeTheStopIsStillNamed) {
  world(2);
  start_all();
  stop(SIGTERM);
  end(0, ExitStatus::exited(7), 500ms);  // its news was behind the signal
  EXPECT_EQ(verdict(), "rank 0 exited 7, code 7, training");
}

TEST_F(SupervisionTest, AStopBeforeAnyRankStartedLeavesAtOnce) {
  world(2);
  stop(SIGTERM);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  EXPECT_FALSE(run_->accepts_ranks());
  leaves_in_order();
  EXPECT_EQ(told(), (Phrases{"finish"}));
  EXPECT_EQ(verdict(), "cancelled: stopped 15, code 143, muster");
  EXPECT_EQ(rank_end(0), RankEnd::kNotStarted);
}

TEST_F(SupervisionTest, AStopBeforeAllHaveStartedWaitsForThoseThatHave) {
  world(3);
  start(1);
  stop(SIGTERM);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 1"}));
  end_quietly(1, 0);
  EXPECT_EQ(told(), (Phrases{"leave"}));
}

TEST_F(SupervisionTest, ARankThatStartsAfterTheStopBeganIsStopped) {
  world(2);
  start(0);
  assign(1);
  stop(SIGTERM);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
  end_quietly(0, 0);
  EXPECT_EQ(told(), Phrases{}) << "rank 1 has its spec: it will start, or fail to";
  start(1);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 1"}));
  end_quietly(1, 0);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  EXPECT_EQ(rank_end(1), RankEnd::kStopped);
}

TEST_F(SupervisionTest, ARankThatStartsAfterTheKillIsKilled) {
  world(2);
  start(0);
  assign(1);
  stop(SIGTERM);
  stop(SIGTERM);
  told();
  start(1);
  EXPECT_EQ(told(), (Phrases{"kill 1"}));
}

TEST_F(SupervisionTest, AnAssignedRankWhoseAgentDiesDuringTheStopHoldsNobodyUp) {
  world(2);
  start(0);
  assign(1);
  stop(SIGTERM);
  end_quietly(0, 0);
  told();
  gone(1);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  EXPECT_EQ(verdict(), "cancelled: stopped 15, code 143, muster");
}

TEST_F(SupervisionTest, AFailedExecAfterTheStopIsNoFailureOfTheRun) {
  world(2);
  start(0);
  assign(1);
  stop(SIGTERM);
  exec_fails(1, 127, "executing train: not found on PATH");
  EXPECT_EQ(verdict(), "cancelled: stopped 15, code 143, muster");
}

// ---- limits ----

TEST_F(SupervisionTest, RanksThatDoNotStartInTimeAre75) {
  world(3);
  start(0);
  at(59'999);
  EXPECT_EQ(told(), Phrases{});
  at(60'000);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
  EXPECT_EQ(verdict(), "start_timeout 1, code 75, muster");
  EXPECT_EQ(run_->why_stopping(), "only 1 of 3 ranks had started after join_timeout");
}

TEST_F(SupervisionTest, OnceAllHaveStartedTheStartHasNoLimit) {
  world(2);
  start_all();
  at(60'001);
  EXPECT_EQ(told(), Phrases{});
  EXPECT_EQ(run_->why_stopping(), "");
}

TEST_F(SupervisionTest, TheTimeLimitIs124AndHasTheGraceOfAStop) {
  limits_.max_run_duration.value = 100s;
  world(2);
  start_all();
  at(100'000);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,1"}));
  at(100'000 + 29'999);
  EXPECT_EQ(told(), Phrases{});
  at(100'000 + 30'000);
  EXPECT_EQ(told(), (Phrases{"kill 0,1"}));
  EXPECT_EQ(verdict(), "time_limit 100, code 124, muster");
}

TEST_F(SupervisionTest, ARankThatFailsOnItsWayOutChangesNothingOfTheTimeLimit) {
  limits_.max_run_duration.value = 100s;
  world(1);
  start(0);
  at(100'000);
  end_quietly(0, 3);
  EXPECT_EQ(verdict(), "time_limit 100, code 124, muster");
}

TEST_F(SupervisionTest, ARunThatIsOverHasNoTimeLimit) {
  limits_.max_run_duration.value = 100s;
  world(1);
  start(0);
  end_quietly(0, 0);
  told();
  at(9'000);
  drained();
  at(100'001);
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

// ---- the stop budget ----

TEST_F(SupervisionTest, ABudgetShortensTheGrace) {
  limits_.stop_budget.value = 10'000ms;
  world(2);
  start_all();
  stop(SIGTERM);
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0,1"}));
  EXPECT_EQ(run_->grace(), 6'000ms);
  at(5'999);
  EXPECT_EQ(told(), Phrases{});
  at(6'000);
  EXPECT_EQ(told(), (Phrases{"kill 0,1"}));
}

TEST_F(SupervisionTest, AShorterGraceStaysAsItIs) {
  limits_.stop_budget.value = 100'000ms;
  world(1);
  start(0);
  stop(SIGTERM);
  EXPECT_EQ(run_->grace(), 30'000ms);
}

TEST_F(SupervisionTest, ABudgetBoundsTheDrainAndSaysUntilWhenResultsMayBeTaken) {
  limits_.stop_budget.value = 10'000ms;
  limits_.drain_timeout.value = 60'000ms;
  world(1);
  start(0);
  at(1'000);
  stop(SIGTERM);
  end_quietly(0, 0);
  all_agents_left();
  starter_ends(0);
  told();
  at(8'999);
  EXPECT_EQ(told(), Phrases{});
  at(9'000);
  EXPECT_EQ(told(), (Phrases{"cut", "finish"}));
  EXPECT_EQ(outcome().finish_by, begin_ + 1'000ms + 9'000ms);
}

TEST_F(SupervisionTest, ABudgetBoundsTheWaitForWhatDoesNotReactToSigkill) {
  limits_.stop_budget.value = 10'000ms;
  world(1);
  start(0);
  stop(SIGTERM);
  told();
  at(7'999);
  EXPECT_EQ(told(), (Phrases{"kill 0"}));
  at(8'000);
  EXPECT_EQ(told(), (Phrases{"leave"}));
  EXPECT_EQ(rank_end(0), RankEnd::kStopped);
}

TEST_F(SupervisionTest, AFailureHasNoBudgetUntilAStopComesFromOutside) {
  limits_.stop_budget.value = 1'000ms;
  world(2);
  start_all();
  end(0, 7);
  EXPECT_EQ(run_->grace(), 3'000ms);
  at(500);
  EXPECT_FALSE(outcome().finish_by);
  stop(SIGTERM);
  EXPECT_EQ(outcome().finish_by, begin_ + 500ms + 900ms);
}

TEST_F(SupervisionTest, OnlyTheFirstStopOpensTheBudget) {
  limits_.stop_budget.value = 10'000ms;
  world(1);
  start(0);
  stop(SIGTERM);
  at(2'000);
  stop(SIGTERM);
  EXPECT_EQ(outcome().finish_by, begin_ + 9'000ms);
}

TEST_F(SupervisionTest, AStopThatFindsTheDrainUnderWayCutsItAndHasItsBudget) {
  limits_.stop_budget.value = 10'000ms;
  world(1);
  start(0);
  end_quietly(0, 0);
  told();
  stop(SIGTERM);
  EXPECT_EQ(told(), (Phrases{"cut"}));
  EXPECT_EQ(outcome().finish_by, begin_ + 9'000ms);
}

TEST_F(SupervisionTest, WithoutABudgetNothingHasToBeDoneByAnyTime) {
  world(1);
  start(0);
  stop(SIGTERM);
  EXPECT_FALSE(outcome().finish_by);
}

// ---- Ctrl-Z ----

TEST_F(SupervisionTest, NoDeadlineComesNearerWhileTheRunStandsStill) {
  limits_.max_run_duration.value = 100s;
  world(1);
  start(0);
  at(99'000);
  now_ += 3600s;
  run_->stood_still(3600s);
  take(run_->tick(now_));
  EXPECT_EQ(told(), Phrases{});
  now_ += 1s;
  take(run_->tick(now_));
  EXPECT_EQ(told(), (Phrases{"SIGTERM 0"}));
}

}  // namespace
}  // namespace muster::exec
