// One run of `muster run`, after its config is read and its node is known: directories, records,
// execution, outputs, report.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/cli/cluster_head.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/detach.h"
#include "launcher/cli/load_run.h"
#include "launcher/cli/run_followers.h"
#include "launcher/cli/run_ports.h"
#include "launcher/cli/run_preparation.h"
#include "launcher/cli/run_recorder.h"
#include "launcher/data/mounts.h"
#include "launcher/cli/stop_watch.h"
#include "launcher/exec/execution.h"
#include "launcher/exec/leases.h"
#include "launcher/exec/run_control.h"
#include "launcher/exec/runtime_directory.h"
#include "launcher/report/console.h"
#include "launcher/report/outcome_text.h"
#include "muster/result.h"

namespace muster::cli {

class RunSession {
 public:
  // With a detachment, it goes on in the background once all ranks have started.
  // As the head of several nodes where a membership is given, which outlives it.
  RunSession(const CommandLine& line, LoadedRun run,
             std::optional<Detachment> detachment = std::nullopt,
             const cluster::Membership* membership = nullptr);
  ~RunSession();

  // Runs it and prints its report.  The exit code; an Error when nothing was started.
  Result<int> run();

 private:
  Result<int> carry_out();
  void end_streams(bool last_words_follow);
  Result<> choose_places();
  Result<> make_directories();
  Result<store::RunDirectory> create_run_directory(const std::string& runs);
  void remove_empty_runs();
  Result<> open_records();
  Result<> start_control();
  Result<> make_followers();
  exec::FinishLimits limits_of(const plan::RunOutcome& outcome, StopWatch& stops) const;
  void announce();
  Result<> prepare(StopWatch& stops);
  Result<plan::RunOutcome> execute(const SignalFd& signals);
  Error conclude_without_start(Error error, StopWatch& stops);
  void deliver_failure(plan::RunOutcome& outcome, StopWatch& stops);
  bool has_collector() const;
  Result<int> conclude_unprepared(Error error, StopWatch& stops);
  Result<int> conclude(plan::RunOutcome outcome, StopWatch& stops);
  PreparationContext context_of(StopSource& stops);
  std::vector<std::string> upload(plan::RunOutcome& outcome, StopWatch& stops);
  std::string deliver(std::string text, plan::RunOutcome& outcome, report::ReportContext& context,
                      StopWatch& stops);
  void summarize_outputs(report::OutputsSummary& summary);
  report::RunRecord first_record() const;
  void remove_leftovers();
  Result<> record_outcome(const plan::RunOutcome& outcome, bool durable);
  void store_report(const std::string& text) const;
  Result<> record_end(const plan::RunOutcome& outcome);

  const CommandLine& line_;
  LoadedRun run_;
  std::optional<Detachment> detachment_;
  const cluster::Membership* membership_;
  std::unique_ptr<ClusterHead> cluster_;  // of several nodes
  plan::LaunchPlan plan_;
  plan::StartValues start_;
  std::vector<ResourceLimit> rank_limits_;
  std::string end_summary_;      // for the other nodes
  std::string shown_directory_;  // as the user would type it
  bool made_runs_ = false;       // the runs directory did not exist before
  std::optional<store::RunDirectory> directory_;
  Fd run_lock_;           // tells everybody that we live
  std::vector<Fd> held_;  // entries of the cache that ranks read
  exec::RuntimeDirectories runtime_;
  RunPorts ports_;
  exec::Lease lease_;  // of cores and GPUs, until the ranks have ended
  std::chrono::milliseconds check_placement_after_{0};
  std::optional<report::Console> console_;
  std::optional<RunRecorder> recorder_;
  std::optional<RunFollowers> followers_;  // they tell the recorder things, from their threads
  std::unique_ptr<data::Mounts> mounts_;   // of inputs and outputs; it tells the recorder things
  std::unique_ptr<exec::RunControl> control_;  // before the recorder goes, which it tells things
};

}  // namespace muster::cli
