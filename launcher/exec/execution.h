// Runs a LaunchPlan on this node: pipes, agents, starter, signals, the end of all of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/signals.h"
#include "collector/store/run_directory.h"
#include "collector/store/stream_file.h"
#include "launcher/exec/companion.h"
#include "launcher/exec/flow_control.h"
#include "launcher/exec/run_control.h"
#include "launcher/exec/runtime_directory.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::link {
class HeadLink;
}

namespace muster::exec {

// Told what happens while it happens, on the thread that called execute().  Must not block.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void rank_started(const plan::RankOutcome& rank, int running, int world_size) = 0;
  virtual void rank_ended(const plan::RankOutcome& rank, int running) = 0;
  // It was seen to run elsewhere than planned; a sentence for each difference that is new.
  virtual void placement_differs(int rank, const std::vector<std::string>& differences) = 0;
  // Ranks are asked to end (SIGTERM), `why` in a few words; `from_outside`: by a signal or a
  // request, and not by something that failed.
  virtual void stopping(const std::string& why, std::chrono::milliseconds grace,
                        bool from_outside) = 0;
  virtual void killing(std::size_t rank_count) = 0;
  // Every rank has ended; what their pipes still hold is read.
  virtual void draining() = 0;
  virtual void streams_grown() = 0;
  // The disk takes no more of the first stream, and why; that all of them go on; what is missing.
  virtual void disk_full(const std::string& /*stream*/, const std::string& /*why*/) {}
  virtual void disk_has_room() {}
  virtual void stream_gap(const std::string& /*stream*/, const store::Gap& /*gap*/) {}
  // Ctrl-Z: the ranks stand still, and this process is about to; and that it goes on.
  virtual void suspending() = 0;
  virtual void resumed() = 0;
  virtual void terminal_resized() = 0;
  // About once a second, if wants_ticks().
  virtual bool wants_ticks() const = 0;
  virtual void tick() = 0;
  // Of several nodes: what another one's ranks do, as RunControl has asked.
  virtual void ranks_sampled(int /*node_rank*/, const protocol::RanksSampled& /*sampled*/) {}
  // Of several nodes: one is silent, speaks again, is lost.
  virtual void node_suspect(int /*node_rank*/, const std::string& /*text*/) {}
  virtual void node_wakes(int /*node_rank*/, const std::string& /*text*/) {}
  virtual void node_lost(int /*node_rank*/, const std::string& /*text*/) {}
  // Something for the launcher's log that no person needs at the time.
  virtual void notice(const std::string& text) = 0;
};

struct ExecutionRequest {
  const plan::LaunchPlan& plan;
  const store::RunDirectory& run_directory;
  const RuntimeDirectories& runtime;
  const SignalFd& signals;
  std::map<std::string, std::string> rank_environment;     // what ranks inherit, before the plan's
  std::map<std::string, std::string> starter_environment;  // what mpirun or the agents get
  std::string agent_executable;
  std::vector<ResourceLimit> rank_limits;  // as they were before raise_limits()
  int rank0_stdin = -1;                    // a descriptor for rank 0; -1: /dev/null
  int attempt = 0;
  RunControl* control = nullptr;                 // who else may ask the run to end
  Companion* companion = nullptr;                // what the run cannot do without
  FlowControl* flow = nullptr;                   // who may make ranks wait before they write more
  std::function<bool(pid_t)> owned_by_follower;  // a child that is neither a stranger nor ours
  // After its start a rank's placement is read back once more; 0: it is not.
  std::chrono::milliseconds check_placement_after{0};
  store::StreamPolicy stream_policy = {};  // what is done while the disk is full
  link::HeadLink* head = nullptr;          // to the other nodes of the plan, if it has any
};

// The signals that execute() reads from request.signals; the caller blocks them before it starts
// threads.
sigset_t signals_of_execution();

// Returns when nothing of the run is left.  An Error means that nothing was started.
Result<plan::RunOutcome> execute(const ExecutionRequest& request, RunObserver& observer);

}  // namespace muster::exec
