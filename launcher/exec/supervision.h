// How a run proceeds and ends, as a state machine without effects: what happened goes in, what to
// do comes out.  Time is a parameter, so tests need no clock.
//
//   starting ──all started──► running ──all ended──► leaving ──agents, starter, streams gone──►
//   done
//       └───────── a failure, a stop request, a limit ─► stopping ─┘
//
// Ranks may be servers of the others (parameter servers), which never end by themselves: they are
// asked to when all others have ended, and that is no failure.
//
// Stopping sends SIGTERM to every training process group, and SIGKILL to what is left when the
// grace is over.  Agents leave together, after every rank is quiet, because mpirun would take the
// first to leave for a failure.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/exec/stop_budget.h"
#include "launcher/plan/run_outcome.h"

namespace muster::exec {

using SteadyTime = std::chrono::steady_clock::time_point;

struct SignalRanks {
  std::vector<int> ranks;
  int signal_number = 0;
};
struct KillRanks {  // SIGKILL, with everything below the agents
  std::vector<int> ranks;
};
struct LeaveAgents {};
struct KillStarter {};  // mpirun, or the agents that the direct starter started
struct CutStreams {     // what still holds a pipe is not waited for any longer
  std::string why;
};
struct Finish {};
using Action = std::variant<SignalRanks, KillRanks, LeaveAgents, KillStarter, CutStreams, Finish>;
using Actions = std::vector<Action>;

// By itself, and not because the run was stopped.
bool failed(const plan::RankOutcome& outcome);

class Supervision {
 public:
  // patience_after_success: how long a starter whose ranks all ended with 0 may take to end itself.
  Supervision(int world_size, const config::Limits& limits, SteadyTime now,
              std::chrono::milliseconds patience_after_success = std::chrono::milliseconds(200),
              const std::vector<int>& servers = {});

  // Its agent has the spec: a stop from now on waits for it to start, or to fail to.
  void rank_assigned(int rank);

  // What happened.  Each returns what to do now.
  Actions rank_started(const plan::RankOutcome& start, SteadyTime now);
  // `end` has kind kExited, kExecFailed or kNotStarted; by_agent: killed because its agent was left
  // alone or told to; `clock_error`: how far its time may be off, of another node.
  Actions rank_ended(const plan::RankOutcome& end, bool by_agent, SteadyTime now,
                     std::chrono::nanoseconds clock_error = {});
  Actions rank_quiet(int rank, SteadyTime now);
  // The agent's connection ended; expected after LeaveAgents.
  Actions agent_gone(int rank, SteadyTime now);
  // After LeaveAgents: no agent is connected any more.
  Actions all_agents_left(SteadyTime now);
  Actions agent_signalled(int rank, int signal_number, SteadyTime now);
  Actions starter_ended(const ExitStatus& status, SteadyTime now);
  Actions streams_drained(SteadyTime now);
  // SIGINT, SIGTERM, SIGHUP at the launcher; or, as if by SIGTERM, a request of `by`.  The second
  // one skips the grace.
  Actions stop_requested(int signal_number, SteadyTime now, const std::string& by = "");
  // A failure of Muster's own: the disk is full, a start failed.
  Actions muster_failed(plan::FirstFailure failure, int exit_code, SteadyTime now);
  Actions tick(SteadyTime now);

  // The run stood still for that long (Ctrl-Z, fg): no deadline has come nearer.
  void stood_still(std::chrono::steady_clock::duration duration);

  // When tick() has something to do next.
  std::optional<SteadyTime> next_deadline() const;

  bool accepts_ranks() const { return !stopping_; }
  bool stopping() const { return stopping_; }
  bool starting() const { return started_count_ < world_size() && !stopping_; }
  // Every other rank has ended, so the servers are ended.
  bool ending_servers() const { return servers_asked_at_.has_value(); }
  int running_count() const;
  const plan::RankOutcome& rank(int rank) const { return ranks_[index(rank)].outcome; }
  void note_mpi_library(int rank, std::string name);
  void note_placement(int rank, plan::PlacementSeen seen);
  void note_gpus(int rank, std::vector<std::string> uuids);  // at the last look
  // Returns those that were not known yet.
  std::vector<std::string> note_placement_differences(int rank,
                                                      const std::vector<std::string>& differences);
  // More about an agent that was lost: "killed by SIGKILL (signal 9)".
  void note_agent_end(int rank, std::string detail);
  // Of a stop that tick() began.
  std::string why_stopping() const;
  // Of the stop that has begun.
  std::chrono::milliseconds grace() const { return grace_; }
  // It came from outside: somebody waits for the end, and may lose patience.
  bool stopped_from_outside() const { return stop_signal_.has_value(); }

  // Valid when Finish was returned; gaps, warnings and times are the caller's to fill.
  plan::RunOutcome outcome() const;

 private:
  enum class RankState { kWaiting, kAssigned, kRunning, kEnded, kQuiet, kGone };

  struct Rank {
    RankState state = RankState::kWaiting;
    plan::RankOutcome outcome;
    bool is_server = false;
  };

  // A failure that is not a rank's own end.
  struct MusterFailure {
    plan::FirstFailure failure;
    int exit_code = 0;
  };

  static std::size_t index(int rank) { return static_cast<std::size_t>(rank); }
  int world_size() const { return static_cast<int>(ranks_.size()); }
  Rank& at(int rank) { return ranks_[index(rank)]; }

  void end_servers_alone(SteadyTime now, Actions& actions);
  void kill_servers(SteadyTime now, Actions& actions);
  void begin_stop(config::Milliseconds grace, SteadyTime now, Actions& actions);
  void kill_now(SteadyTime now, Actions& actions);
  void open_budget(SteadyTime now);
  // After `patience`, or at the end of the drain's share of the budget if that is sooner.
  SteadyTime deadline(SteadyTime now, config::Milliseconds patience) const;
  void forget_waiting_ranks();
  void proceed(SteadyTime now, Actions& actions);
  std::vector<int> ranks_in(std::initializer_list<RankState> states) const;
  int count(std::initializer_list<RankState> states) const;
  void set_state(Rank& rank, RankState state);
  const Rank* first_failed_rank() const;

  config::Limits limits_;
  std::chrono::milliseconds patience_after_success_;
  std::vector<Rank> ranks_;
  std::array<int, 6> in_state_{};  // how many ranks are, by RankState
  int server_count_ = 0;
  int started_count_ = 0;
  bool stopping_ = false;
  std::chrono::milliseconds grace_{0};
  bool killed_ = false;
  bool left_ = false;
  bool starter_gone_ = false;
  bool starter_killed_ = false;
  bool drained_ = false;
  bool cut_ = false;
  bool finished_ = false;
  std::optional<plan::WallTime> servers_asked_at_;
  bool servers_killed_ = false;
  std::optional<plan::WallTime> stop_began_at_;
  std::optional<int> stop_signal_;
  std::string stopped_by_;  // a signal's name, or who asked
  std::optional<MusterFailure> muster_failure_;
  std::optional<StopStages> stages_;  // with a stop_budget, once a stop came from outside

  std::optional<SteadyTime> start_deadline_;    // join_timeout
  std::optional<SteadyTime> run_deadline_;      // max_run_duration
  std::optional<SteadyTime> mpirun_deadline_;   // mpirun signalled the agents: is there a reason?
  std::optional<SteadyTime> kill_deadline_;     // the grace is over
  std::optional<SteadyTime> server_deadline_;   // the servers' grace is over
  std::optional<SteadyTime> give_up_deadline_;  // SIGKILL had no effect
  std::optional<SteadyTime> drain_deadline_;
  std::optional<SteadyTime> starter_deadline_;
};

}  // namespace muster::exec
