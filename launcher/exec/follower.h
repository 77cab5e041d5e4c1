// Something that follows what a run stores, on a thread of its own: output folders, metrics, the
// way to a collector.  The ranks never wait for it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::exec {

struct FinishLimits {
  std::optional<std::chrono::steady_clock::time_point> until;  // a stop_budget's end
  std::function<bool()> hurry = [] { return false; };          // somebody asked to stop, once more
};

struct FollowerEnd {
  std::optional<Error> failure;       // the run has not succeeded, with that Error's exit code
  std::vector<std::string> warnings;  // for run.json and the report
  std::vector<std::string> said;      // for the report: a sentence each
  plan::Incomplete incomplete = {};
};

class Follower {
 public:
  virtual ~Follower() = default;
  // All ranks have started, or the run ends sooner: once, on the main thread, which does not wait.
  virtual void start() = 0;
  // Some stream has more bytes: often, on the main thread.
  virtual void grown() {}
  // Whether a child of this process is its own: no stranger, and not others' to reap.
  virtual bool owns(pid_t) const { return false; }
  // When its turn to finish is.
  enum class Stage {
    kResults,   // before the run's end is recorded: what it stores belongs to the record
    kDelivery,  // after it: the record is delivered, too
  };
  virtual Stage stage() const { return Stage::kResults; }
  // Every rank has ended and every stream is complete: does what is left.  Called once, also when
  // start() never was; the caller looks after signals through `limits`.
  virtual FollowerEnd finish(const FinishLimits& limits) = 0;
  // Of kDelivery, after finish(): the record says how the run ended, delivery and all, and nothing
  // of it is written any more, unless this fails.
  virtual FollowerEnd finish_record(const FinishLimits& /*limits*/) { return {}; }
};

}  // namespace muster::exec
