// The followers of one run, in the order in which they finish: what one stores the next one sends.
#pragma once

#include <memory>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/cli/load_run.h"
#include "launcher/cli/run_recorder.h"
#include "launcher/exec/follower.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"

namespace muster::cli {

struct FollowerContext {
  const LoadedRun& run;
  const plan::LaunchPlan& plan;
  const store::RunDirectory& directory;
  const CommandLine& line;
  RunRecorder& recorder;  // its notice() may be called from any thread
};

class RunFollowers {
 public:
  // Errors: what a follower needs is missing (a token that cannot be read, an address).
  static Result<RunFollowers> create(const FollowerContext& context);

  void start();  // a second time nothing happens
  void grown();
  // Those of that stage, one after the other; their warnings and failures go into the outcome,
  // their words are returned.
  std::vector<std::string> finish(exec::Follower::Stage stage, plan::RunOutcome& outcome,
                                  const exec::FinishLimits& limits);

 private:
  std::vector<std::unique_ptr<exec::Follower>> followers_;
  bool started_ = false;
};

}  // namespace muster::cli
