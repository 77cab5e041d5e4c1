#include "launcher/cluster/run_phase.h"

#include <gtest/gtest.h>

#include <ostream>
#include <vector>

namespace muster::cluster {

void PrintTo(Phase phase, std::ostream* out) {
  *out << to_word(phase);
}

namespace {

using What = PhaseEvent::What;

PhaseEvent ended(Phase verdict) {
  return {What::kEnded, "why it ended", verdict};
}

const std::vector<PhaseEvent> kEvents = {{What::kPrepared},       {What::kStopBegins, "rank 3"},
                                         {What::kRanksGone},      ended(Phase::kCompleted),
                                         ended(Phase::kFailed),   ended(Phase::kCanceled),
                                         ended(Phase::kPreparing)};

RunPhase in(Phase phase) {
  RunPhase run;
  const auto take = [&](const PhaseEvent& event) { EXPECT_TRUE(run.take(event)); };
  if (phase >= Phase::kRunning) take(kEvents[0]);
  if (phase == Phase::kStopping) take(kEvents[1]);
  if (phase >= Phase::kFinalizing) take(kEvents[2]);
  if (phase >= Phase::kCompleted) take(ended(phase));
  EXPECT_EQ(run.phase(), phase);
  return run;
}

// The whole machine: in each phase, what each event leads to, in the order of kEvents.
TEST(RunPhaseTest, IsThisTable) {
  constexpr auto P = Phase::kPreparing;
  constexpr auto R = Phase::kRunning;
  constexpr auto S = Phase::kStopping;
  constexpr auto F = Phase::kFinalizing;
  constexpr auto completed = Phase::kCompleted;
  constexpr auto failed = Phase::kFailed;
  constexpr auto canceled = Phase::kCanceled;
  const std::vector<std::pair<Phase, std::vector<Phase>>> table = {
      // prepared, stop begins, ranks gone, ended: completed, failed, cancelled, and no verdict
      {P, {R, P, P, P, failed, canceled, P}},        {R, {R, S, F, R, failed, canceled, R}},
      {S, {S, S, F, S, failed, canceled, S}},        {F, {F, F, F, completed, failed, canceled, F}},
      {completed, std::vector<Phase>(7, completed)}, {failed, std::vector<Phase>(7, failed)},
      {canceled, std::vector<Phase>(7, canceled)},
  };
  for (const auto& [from, to] : table) {
    for (std::size_t event = 0; event < kEvents.size(); ++event) {
      RunPhase run = in(from);
      EXPECT_EQ(run.take(kEvents[event]), to[event] != from) << to_word(from) << " " << event;
      EXPECT_EQ(run.phase(), to[event]) << to_word(from) << " " << event;
    }
  }
}

TEST(RunPhaseTest, TheReasonIsThePhasesOwn) {
  RunPhase run = in(Phase::kRunning);
  EXPECT_EQ(run.reason(), "");
  run.take({What::kStopBegins, "node-b was lost"});
  run.take({What::kStopBegins, "SIGTERM"});
  EXPECT_EQ(run.reason(), "node-b was lost");
  run.take({What::kRanksGone});
  EXPECT_EQ(run.reason(), "");
  run.take({What::kEnded, "rank 3 exited with 7", Phase::kFailed});
  run.take({What::kEnded, "SIGTERM", Phase::kCanceled});
  EXPECT_EQ(run.reason(), "rank 3 exited with 7");
}

}  // namespace
}  // namespace muster::cluster
