// Makes durable what a run stores, every few seconds, behind the ranks' backs: a machine that loses
// power loses no more than that.  A run that is over within a second costs nothing.
#pragma once

#include <memory>
#include <string>

#include "collector/store/run_directory.h"
#include "launcher/exec/follower.h"

namespace muster::exec {

class SyncFollower : public Follower {
 public:
  explicit SyncFollower(store::RunDirectory run);
  ~SyncFollower() override;

  void start() override;
  // Syncs once more, if the run was long enough; what is in doubt then is a warning.
  FollowerEnd finish(const FinishLimits& limits) override;

 private:
  struct State;
  static void work(const std::shared_ptr<State>& state);

  // A disk may hold the thread for minutes, and must not hold us: it may outlive this object.
  std::shared_ptr<State> state_;
};

}  // namespace muster::exec
