// The one state machine of a run, the same on every node.  The head decides; the members follow.
#pragma once

#include <optional>
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
    kPrepared,    // every node is
    kRanksEnded,  // all, with 0
    kRankFailed,
    kNodeLost,
    kMusterFailed,
    kStopAsked,  // a signal, `muster cancel`, a time limit, a preemption notice, on any node
    kRanksGone,  // nothing of any rank is left, on any node that lives
    kStored,     // every living node has stored
  };
  What what = What::kPrepared;
  std::string reason = {};
};

class RunPhase {
 public:
  // Whether anything changed.  What makes no sense in a phase changes nothing.
  bool take(const PhaseEvent& event);
  Phase phase() const { return phase_; }
  const std::string& reason() const {
    return reason_;
  }  // why it failed or was cancelled; the first
  bool over() const { return phase_ >= Phase::kCompleted; }

 private:
  Phase phase_ = Phase::kPreparing;
  Phase end_ = Phase::kCompleted;  // what it will be
  std::string reason_;
};

const char* to_word(Phase phase);  // "running"

}  // namespace muster::cluster
