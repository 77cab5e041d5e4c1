// The followers of one run, in the order in which they finish: what one stores the next one sends.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "collector/replication/client.h"
#include "collector/store/output_names.h"
#include "collector/store/run_directory.h"
#include "launcher/cli/load_run.h"
#include "launcher/cli/run_recorder.h"
#include "launcher/exec/flow_control.h"
#include "launcher/exec/follower.h"
#include "launcher/exec/outputs_follower.h"
#include "launcher/exec/run_control.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/report/console.h"

namespace muster::cli {

struct FollowerContext {
  const LoadedRun& run;
  const plan::LaunchPlan& plan;
  const store::RunDirectory& directory;
  const CommandLine& line;
  RunRecorder& recorder;  // its notice() and event() may be called from any thread
  report::Console& console;
  exec::RunControl& control;
  // Of a member: to whom everything goes, and who keeps the run's metrics.
  std::optional<replication::ClientSettings> head = {};
  bool shares_directory = false;  // with the head, which stores what is there
  // Of a head: who has which name in the output folders.
  std::shared_ptr<store::OutputNames> output_names = {};
};

class RunFollowers {
 public:
  // Errors: what a follower needs is missing (a token that cannot be read, an address).
  static Result<RunFollowers> create(const FollowerContext& context);

  // Who may make ranks wait; null when nobody may.
  exec::FlowControl* flow() { return flow_.get(); }

  void start();  // a second time nothing happens
  void grown();
  bool owns(pid_t pid) const;  // a child of this process
  // Those of that stage, one after the other; their warnings and failures go into the outcome,
  // their words are returned.
  std::vector<std::string> finish(exec::Follower::Stage stage, plan::RunOutcome& outcome,
                                  const exec::FinishLimits& limits);
  // Nothing of the run's record is written any more: what is left of it is delivered.
  void finish_record(plan::RunOutcome& outcome, const exec::FinishLimits& limits);
  const exec::OutputsFollower& outputs() const { return *outputs_; }

 private:
  Result<> add_delivery(const FollowerContext& context);

  std::unique_ptr<exec::FlowControl> flow_;  // they use it
  std::vector<std::unique_ptr<exec::Follower>> followers_;
  exec::OutputsFollower* outputs_ = nullptr;  // one of them
  bool started_ = false;
};

}  // namespace muster::cli
