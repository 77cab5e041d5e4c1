// The one state machine of a run, the same on every node: the head drives it and tells the members.
// What ranks do within a phase, and when they are asked to end, is exec/supervision.h's.
//
//   preparing ─► running ─► stopping ─► finalizing ─► completed │ failed │ cancelled
//       │           └───────────────────────┘             ▲
//       └─────────────────────────────────────────────────┘  not completed
#pragma once

#include <string>

namespace muster::cluster {

enum class Phase {
  kPreparing,  // waiting for nodes, planning, source, data
  kRunning,
  kStopping,    // ranks are asked to end
  kFinalizing,  // all ranks have ended: outputs and the record are stored
  kCompleted,
  kFailed,
  kCanceled,
};

struct PhaseEvent {
  enum class What {
    kPrepared,  // every node is
    // Ranks are asked to end: something failed, on any node, or a stop, a time limit or a notice of
    // preemption came.
    kStopBegins,
    kRanksGone,  // nothing of any rank is left on any node that lives
    kEnded,      // nothing more is done for it: `verdict`
  };
  What what = What::kPrepared;
  std::string reason = {};
  // Of kEnded.  Decided by all that is known in the end: a rank may have failed before the stop
  // that was heard of first.
  Phase verdict = Phase::kCompleted;
};

class RunPhase {
 public:
  // Whether anything changed.  What makes no sense in a phase changes nothing; a run that is over
  // stays as it ended.
  bool take(const PhaseEvent& event);
  Phase phase() const { return phase_; }
  // Why it stops; of one that is over, why it failed or was cancelled.
  const std::string& reason() const { return reason_; }
  bool over() const { return phase_ >= Phase::kCompleted; }

 private:
  Phase phase_ = Phase::kPreparing;
  std::string reason_;
};

const char* to_word(Phase phase);  // "running"

}  // namespace muster::cluster
