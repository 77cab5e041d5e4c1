#include "launcher/cluster/run_phase.h"

namespace muster::cluster {

bool RunPhase::take(const PhaseEvent& event) {
  using What = PhaseEvent::What;
  const auto go = [&](Phase to) {
    phase_ = to;
    reason_ = event.reason;
    return true;
  };
  switch (event.what) {
    case What::kPrepared: return phase_ == Phase::kPreparing && go(Phase::kRunning);
    case What::kStopBegins: return phase_ == Phase::kRunning && go(Phase::kStopping);
    case What::kRanksGone:
      return (phase_ == Phase::kRunning || phase_ == Phase::kStopping) && go(Phase::kFinalizing);
    case What::kEnded:
      if (over() || event.verdict < Phase::kCompleted) return false;
      // Ranks that may live have not completed anything.
      if (event.verdict == Phase::kCompleted && phase_ != Phase::kFinalizing) return false;
      return go(event.verdict);
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
