// The hands of the node that this process runs on.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/fd.h"
#include "collector/store/disk_room.h"
#include "collector/store/stream_ledger.h"
#include "launcher/exec/agent_server.h"
#include "launcher/exec/daemons.h"
#include "launcher/exec/execution.h"
#include "launcher/exec/gpu_check.h"
#include "launcher/exec/node_hands.h"
#include "launcher/exec/rank_starter.h"
#include "launcher/exec/rank_streams.h"
#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::exec {

// Who brings the agents of this node to life.
enum class LocalStarter {
  kMpirun,  // of the whole run
  kAgents,  // this process starts them itself
  kOther,   // somebody else's mpirun, through its daemon
};

class LocalHands final : public NodeHands, private AgentHandler {
 public:
  // Of the ranks that the plan has on `node_rank`.  What is given outlives it.
  LocalHands(EventLoop& loop, const ExecutionRequest& request, RunObserver& observer,
             HandsListener& listener, int node_rank, LocalStarter starter);

  // An Error means that nothing was started.
  Result<> start();

  int node_rank() const override { return node_rank_; }
  const std::vector<int>& ranks() const { return ranks_; }
  void send(int rank, const protocol::LauncherMessage& message) override;
  std::vector<int> connected_ranks() const override { return server_->connected_ranks(); }
  std::string agent_end(int rank) override;
  void leave() override;
  void kill_starter() override;
  void cut_streams(const std::string& why) override;

  // mpirun's daemon of this node; its end is told by HandsListener::daemon_ended().
  Result<> start_daemon(int id, const std::string& command);
  void end_daemon(int id) { daemons_.end(id); }
  void end_daemons() { daemons_.end_all(); }
  // To the helper that waits for a daemon.
  void answer(int helper, const protocol::DaemonNews& news);

  // From hold_starter() to leave() mpirun does nothing.
  void hold_starter();
  // Whether the starter has ended, now: events that it causes come after its own.
  void check_starter();
  // The same, and waits a moment for it.
  void await_end_of_starter();
  // SIGCHLD: also takes what ended of strangers.
  void children_changed();
  void sweep_strangers();
  bool starter_gone() const { return starter_gone_; }

  // What every stream has in the end, for the record; gaps go into the outcome.  Returns why bytes
  // are missing, or "".
  std::string record_streams(plan::RunOutcome& outcome);
  void end_driver_logs(plan::RunOutcome& outcome);

 private:
  struct Local {  // a rank of this node
    std::unique_ptr<RankStreams> streams;
    pid_t training_pid = 0;  // while it runs
  };

  Result<> prepare();
  Result<> make_starter();
  Result<> create_streams();
  void undo_start();
  void hold_streams();

  void agent_connected(int rank) override;
  void agent_said(int rank, const protocol::AgentMessage& message) override;
  void agent_gone(int rank) override;
  void daemon_wanted(int helper, const protocol::DaemonWanted& wanted) override {
    listener_.daemon_wanted(helper, wanted);
  }
  void helper_gone(int helper) override { listener_.helper_gone(helper); }
  void begin_driver_log(int rank, const protocol::TrainingStarted& started);
  void look_at_gpus(int rank);

  void check_unconnected_agents();
  void check_missing_agents();
  void arm_start_check();
  void check_left();
  void check_drained();
  void reap_strangers();
  bool is_stranger(pid_t pid) const;
  bool owned_by_others(pid_t pid) const;
  bool owned_by_starter(pid_t pid) const { return starter_ && starter_->owns(pid); }
  void disk_full(const std::string& stream, const std::string& why);
  void disk_has_room(const std::string& stream);

  RankStreams& streams(int rank) { return *local_.at(rank).streams; }

  EventLoop& loop_;
  const ExecutionRequest& request_;
  RunObserver& observer_;
  HandsListener& listener_;
  const int node_rank_;
  const LocalStarter kind_;
  std::vector<int> ranks_;
  StreamCallbacks callbacks_;
  store::StreamLedger ledger_;
  store::DiskRoom room_;
  std::set<std::string> full_streams_;  // whose files take no more for now
  std::set<pid_t> inherited_children_;  // of whoever exec'd us, or PID 1's: not ours to kill
  Fd nothing_;                          // /dev/null, for ranks without a stdin
  Fd log_;
  std::map<int, Local> local_;  // by rank
  std::unique_ptr<AgentServer> server_;
  std::unique_ptr<RankStarter> starter_;  // none with kOther
  EventLoop::Watch flow_watch_;
  EventLoop::Watch start_check_;
  GpuCheck gpu_check_{loop_, [this](int rank, const std::set<std::string>& uuids) {
                        listener_.gpus_seen(rank, uuids);
                      }};
  Daemons daemons_{[this](int id, int wait_status) { listener_.daemon_ended(id, wait_status); }};
  Fd daemon_log_;
  std::optional<ExitStatus> starter_status_;
  std::set<int> agents_gone_;
  std::set<pid_t> arrived_agents_;  // at the last start check
  int start_checks_without_news_ = 0;
  bool starter_gone_ = false;
  bool left_ = false;
  bool drained_ = false;
};

}  // namespace muster::exec
