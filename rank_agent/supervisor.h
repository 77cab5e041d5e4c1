// The life of one rank: ask for the spec, start the training process, watch it, report, leave when
// the launcher says so.
#pragma once

#include <chrono>
#include <optional>

#include "base/process.h"
#include "base/signals.h"
#include "muster/result.h"
#include "protocol/node_channel.h"
#include "rank_agent/memory_watch.h"

namespace muster::agent {

// What the agent gets when its parent (mpirun, or the launcher with the direct starter) dies.  It
// is catchable, because a SIGKILL would leave what the rank started with setsid behind.
int parent_death_signal();

class Supervisor {
 public:
  using Clock = std::chrono::steady_clock;

  Supervisor(protocol::NodeChannel channel, SignalFd signals);

  // Says hello and waits for the spec.  Errors: refused, the launcher is gone.
  Result<> fetch_spec(int rank, pid_t parent);
  // Binds, starts the training process and reports; then serves until told to leave.  When the
  // launcher or the parent is gone, everything below this process is killed.
  Result<> run();

 private:
  Result<> serve();
  Result<> start_training();
  Result<> wait_for_event();
  Result<> read_signals();
  Result<> read_launcher();
  Result<> check_training();
  Result<> look_for_mpi_library();
  void look_for_cgroup();
  void look_at_count();
  Result<> look_at_placement();
  Result<> report_evidence(const ExitStatus& status, pid_t pid);
  Result<> report_if_quiet();
  void signal_training(int signal_number);
  void reap_strangers();
  void sweep();
  int poll_timeout_ms() const;

  protocol::NodeChannel channel_;
  SignalFd signals_;
  protocol::RankSpec spec_;
  std::vector<Fd> standard_fds_;  // stdin, stdout, stderr of the training process
  ChildSpec training_spec_;
  Child training_;
  std::int64_t started_at_ns_ = 0;
  bool ended_ = false;  // the training process has ended, or never started
  bool quiet_said_ = false;
  bool held_ = false;     // the run stands still (Ctrl-Z): what starts now stops at once
  bool killing_ = false;  // its end, if it comes now, is our doing
  bool leave_ = false;
  bool orphaned_ = false;  // the launcher or the parent is gone
  std::optional<Clock::time_point> sweep_at_;
  std::optional<Clock::time_point> next_library_look_;
  Clock::duration library_look_interval_{};
  MemoryWatch memory_;
  std::optional<Clock::time_point> next_cgroup_look_;
  Clock::duration cgroup_look_interval_{};
  std::optional<Clock::time_point> next_count_look_;
  std::optional<Clock::time_point> placement_look_;
  bool looked_at_placement_ = false;
  std::string mask_at_start_;  // of the training process
};

}  // namespace muster::agent
