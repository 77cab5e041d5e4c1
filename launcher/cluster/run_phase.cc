#include "launcher/cluster/run_phase.h"

namespace muster::cluster {

bool RunPhase::take(const PhaseEvent& event) {
  using What = PhaseEvent::What;
  if (over()) return false;
  const auto go = [&](Phase to) {
    if (phase_ == to) return false;
    phase_ = to;
    return true;
  };
  // The first reason is the reason.
  const auto end_as = [&](Phase end) {
    if (end_ != Phase::kCompleted) return;
    end_ = end;
    reason_ = event.reason;
  };
  const bool ranks_may_live = phase_ == Phase::kRunning || phase_ == Phase::kStopping;
  switch (event.what) {
    case What::kPrepared: return phase_ == Phase::kPreparing && go(Phase::kRunning);
    case What::kRanksEnded: return false;  // what they held is read first: kRanksGone
    case What::kRankFailed:
    case What::kNodeLost:
    case What::kMusterFailed:
      end_as(Phase::kFailed);
      if (phase_ == Phase::kPreparing) return go(Phase::kFailed);
      return phase_ == Phase::kRunning && go(Phase::kStopping);
    case What::kStopAsked:
      // Results are stored to their end: who asked then has waited for nothing else.
      if (phase_ == Phase::kFinalizing) return false;
      end_as(Phase::kCanceled);
      if (phase_ == Phase::kPreparing) return go(Phase::kCanceled);
      return phase_ == Phase::kRunning && go(Phase::kStopping);
    case What::kRanksGone: return ranks_may_live && go(Phase::kFinalizing);
    case What::kStored: return phase_ == Phase::kFinalizing && go(end_);
  }
  return false;
}

const char* to_word(Phase phase) {
  switch (phase) {
    case Phase::kPreparing: return "preparing";
    case Phase::kRunning: return "running";
    case Phase::kStopping: return "stopping";
    case Phase::kFinalizing: return "finalizing";
    case Phase::kCompleted: return "completed";
    case Phase::kFailed: return "failed";
    case Phase::kCanceled: return "cancelled";
  }
  return "";
}

}  // namespace muster::cluster
