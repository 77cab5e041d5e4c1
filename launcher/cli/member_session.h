// A launcher that is not the head of its run: joins it, does what the head orders, and ends with
// the head's code.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/load_run.h"
#include "launcher/cli/run_followers.h"
#include "launcher/cli/run_recorder.h"
#include "launcher/cli/stop_watch.h"
#include "launcher/cluster/membership.h"
#include "launcher/data/mounts.h"
#include "launcher/exec/host_node.h"
#include "launcher/exec/run_control.h"
#include "launcher/exec/runtime_directory.h"
#include "launcher/link/member_link.h"
#include "launcher/report/console.h"
#include "muster/result.h"

namespace muster::cli {

class MemberSession {
 public:
  MemberSession(const CommandLine& line, const cluster::Membership& membership, LoadedRun run);
  ~MemberSession();

  // The run's exit code; an Error when this node was never part of it, or has lost its head.
  Result<int> run();

 private:
  Result<std::optional<protocol::RunEnd>> await_part(const SignalFd& signals);
  Result<> take_part(const protocol::Part& part);
  Result<> make_directories(const protocol::Part& part);
  Result<> open_records();
  Result<> prepare(StopWatch& stops);
  Result<> take_source(StopWatch& stops);
  void tell_prepared(const Error* problem);
  Result<std::optional<protocol::RunEnd>> await_go(StopWatch& stops);
  Result<exec::HostedRanks> host(const SignalFd& signals);
  bool store(plan::RunOutcome& outcome, StopWatch& stops);
  Result<protocol::RunEnd> await_end(StopWatch& stops);
  void ask_stop(const StopAsked& asked);
  int conclude(const protocol::RunEnd& end);
  void clean_up(bool everything_is_there);
  void say(const std::string& text) const;

  const CommandLine& line_;
  const cluster::Membership& membership_;
  LoadedRun run_;
  std::unique_ptr<link::MemberLink> link_;
  protocol::Part part_;
  // While this node prepares itself the run may end, and the head may be lost.
  std::optional<protocol::RunEnd> early_end_;
  std::optional<Error> head_lost_;
  plan::LaunchPlan plan_;
  plan::StartValues start_;
  std::vector<ResourceLimit> rank_limits_;
  std::optional<store::RunDirectory> directory_;  // of this node alone, outside of the head's
  Fd run_lock_;
  std::vector<Fd> held_;
  exec::RuntimeDirectories runtime_;
  std::optional<report::Console> console_;
  std::optional<RunRecorder> recorder_;
  std::optional<RunFollowers> followers_;
  std::unique_ptr<data::Mounts> mounts_;
  std::unique_ptr<exec::RunControl> control_;
};

}  // namespace muster::cli
