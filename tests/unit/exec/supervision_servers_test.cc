// Parameter servers: ranks that serve the others, and never end by themselves.

#include "tests/unit/exec/supervision_fixture.h"

namespace muster::exec {
namespace {

class Servers : public SupervisionTest {
 protected:
  // Ranks 0 and 1 work, 2 and 3 serve them.
  void two_and_two() {
    world(4, {2, 3});
    start_all();
  }
  void workers_end() {
    end_quietly(0, 0);
    end_quietly(1, 0);
  }
};

TEST_F(Servers, AreEndedOnceEveryWorkerHasAndThatIsNoFailure) {
  two_and_two();
  end_quietly(0, 0);
  EXPECT_EQ(told(), Phrases{});
  end(1, 0);
  EXPECT_EQ(told(), Phrases{"SIGTERM 2,3"});
  quiet(1);
  end(2, ExitStatus::signaled(SIGTERM));
  quiet(2);
  end_quietly(3, 1);
  EXPECT_EQ(told(), Phrases{"leave"});
  leaves_in_order();
  EXPECT_EQ(told(), Phrases{"finish"});
  EXPECT_EQ(verdict(), "succeeded, code 0");
  EXPECT_EQ(rank_end(2), plan::RankEnd::kStopped);
  EXPECT_EQ(rank_end(3), plan::RankEnd::kStopped);
}

TEST_F(Servers, ThatDoNotListenAreKilledAfterTheGrace) {
  two_and_two();
  workers_end();
  end(2, ExitStatus::signaled(SIGTERM));
  quiet(2);
  told();
  at(29'999);
  EXPECT_EQ(told(), Phrases{});
  at(30'001);
  EXPECT_EQ(told(), Phrases{"kill 3"});
  end(3, ExitStatus::signaled(SIGKILL), 0ms, true);
  quiet(3);
  leaves_in_order();
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(Servers, WithoutAGraceAreKilledAtOnce) {
  limits_.stop_grace_period.value = 0ms;
  two_and_two();
  workers_end();
  EXPECT_EQ(told(), Phrases{"kill 2,3"});
}

TEST_F(Servers, ThatStartLateAreEndedWhenTheyHaveStarted) {
  world(3, {2});
  start(0);
  start(1);
  assign(2);
  workers_end();
  EXPECT_EQ(told(), Phrases{});
  start(2);
  EXPECT_EQ(told(), Phrases{"SIGTERM 2"});
}

TEST_F(Servers, ThatEndByThemselvesWithZeroAreNotMissed) {
  two_and_two();
  end_quietly(2, 0);
  end_quietly(3, 0);
  EXPECT_EQ(told(), Phrases{});
  workers_end();
  EXPECT_EQ(told(), Phrases{"leave"});
  leaves_in_order();
  EXPECT_EQ(verdict(), "succeeded, code 0");
}

TEST_F(Servers, ThatFailWhileWorkersRunFailTheRun) {
  two_and_two();
  end(3, 4);
  EXPECT_EQ(told(), Phrases{"SIGTERM 0,1,2"});
  EXPECT_EQ(verdict(), "rank 3 exited 4, code 4, training");
}

TEST_F(Servers, OfAWorkerThatFailedAreEndedBecauseOfIt) {
  two_and_two();
  end_quietly(0, 0);
  end(1, 3);
  EXPECT_EQ(told(), Phrases{"SIGTERM 2,3"});
  at(3'001);
  EXPECT_EQ(told(), Phrases{"kill 1,2,3"});
  EXPECT_EQ(verdict(), "rank 1 exited 3, code 3, training");
}

TEST_F(Servers, AreLeftToAStopThatComesMeanwhile) {
  two_and_two();
  workers_end();
  told();
  stop(SIGINT);
  EXPECT_EQ(told(), Phrases{"SIGTERM 2,3"});
  stop(SIGINT);
  EXPECT_EQ(told(), Phrases{"kill 2,3"});
  EXPECT_EQ(verdict(), "cancelled: stopped 2, code 130, muster");
}

}  // namespace
}  // namespace muster::exec
