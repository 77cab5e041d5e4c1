#include "launcher/exec/supervision.h"

#include <algorithm>
#include <csignal>
#include <numeric>

#include "base/exit_code.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using plan::FailureOrigin;
using plan::FirstFailure;
using plan::RankEnd;
using plan::RankOutcome;

// mpirun ends a job because a rank aborted or an agent died; that news may be behind the signal.
constexpr auto kReasonBehindSignal = 500ms;
// Agents have left, so mpirun has nothing to do but to go.
constexpr auto kStarterLinger = 200ms;
// A process that survives SIGKILL this long is stuck in the kernel; the run must end all the same.
constexpr auto kGiveUp = 15s;
constexpr auto kKillTakes = 200ms;

FirstFailure first_failure_of(const RankOutcome& outcome) {
  FirstFailure failure;
  failure.rank = outcome.rank;
  switch (outcome.end) {
    case RankEnd::kExecFailed:
      // 126 and 127 are about the program; 70 is an agent that found Muster contradicting itself,
      // 74 one that does not see the run's data.
      if (outcome.status.value == to_int(ExitCode::kInternal) ||
          outcome.status.value == to_int(ExitCode::kData)) {
        failure.origin = FailureOrigin::kMuster;
      }
      failure.how = "exec_failed";
      failure.value = outcome.status.value;
      failure.description = outcome.exec_failure;
      break;
    case RankEnd::kAgentLost:
      failure.origin = FailureOrigin::kMuster;
      failure.how = "agent_lost";
      failure.description = "its agent ended without a report";
      if (!outcome.detail.empty()) failure.description += ": " + outcome.detail;
      break;
    default:
      failure.how = outcome.status.how == ExitStatus::How::kExited ? "exited" : "signaled";
      failure.value = outcome.status.value;
      failure.description = outcome.status.describe();
  }
  return failure;
}

}  // namespace

bool failed(const RankOutcome& outcome) {
  switch (outcome.end) {
    case RankEnd::kExited: return !outcome.status.ok();
    case RankEnd::kExecFailed:
    case RankEnd::kAgentLost: return true;
    case RankEnd::kNotStarted:
    case RankEnd::kStopped: return false;
  }
  return false;
}

Supervision::Supervision(int world_size, const config::Limits& limits, SteadyTime now,
                         std::chrono::milliseconds patience_after_success,
                         const std::vector<int>& servers)
    : limits_(limits),
      patience_after_success_(patience_after_success),
      ranks_(static_cast<std::size_t>(world_size)) {
  for (int rank = 0; rank < world_size; ++rank) at(rank).outcome.rank = rank;
  for (const int rank : servers) at(rank).is_server = true;
  in_state_[static_cast<std::size_t>(RankState::kWaiting)] = world_size;
  server_count_ = static_cast<int>(
      std::count_if(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.is_server; }));
  start_deadline_ = now + limits_.join_timeout.value;
  if (const auto limit = limits_.max_run_duration.value) run_deadline_ = now + *limit;
}

void Supervision::rank_assigned(int rank) {
  if (at(rank).state == RankState::kWaiting) set_state(at(rank), RankState::kAssigned);
}

Actions Supervision::rank_started(const RankOutcome& start, SteadyTime) {
  Rank& rank = at(start.rank);
  set_state(rank, RankState::kRunning);
  rank.outcome = start;
  if (++started_count_ == world_size()) start_deadline_.reset();
  // A start that overtook the stop is stopped like the others.
  if (killed_) return {KillRanks{{start.rank}}};
  if (stopping_) return {SignalRanks{{start.rank}, SIGTERM}};
  if (rank.is_server && servers_killed_) return {KillRanks{{start.rank}}};
  if (rank.is_server && servers_asked_at_) return {SignalRanks{{start.rank}, SIGTERM}};
  return {};
}

Actions Supervision::rank_ended(const RankOutcome& end, bool by_agent, SteadyTime now,
                                std::chrono::nanoseconds clock_error) {
  Actions actions;
  Rank& rank = at(end.rank);
  set_state(rank, RankState::kEnded);
  rank.outcome = end;
  // Ended after we asked it to: not its own failure, whatever the code.
  // Who dies of the signal that was sent did so after it was, as far as its clock lets that be.
  const bool of_our_signal = end.status == ExitStatus::signaled(SIGTERM) ||
                             (killed_ && end.status == ExitStatus::signaled(SIGKILL));
  const auto may_be_later = of_our_signal ? clock_error : 0ns;
  const auto after = [&](const std::optional<plan::WallTime>& asked) {
    return asked && end.ended_at && *end.ended_at + may_be_later >= *asked;
  };
  const bool after_stop = after(stop_began_at_) || (rank.is_server && after(servers_asked_at_));
  if (end.end == RankEnd::kExited && (by_agent || after_stop)) rank.outcome.end = RankEnd::kStopped;
  // A run that was cancelled while it started did not fail because the rest could not start.
  if (end.end == RankEnd::kExecFailed && after_stop && stop_signal_) {
    rank.outcome.end = RankEnd::kNotStarted;
  }
  if (failed(rank.outcome) && !stopping_) {
    begin_stop(limits_.failure_grace_period.value, now, actions);
  }
  proceed(now, actions);
  return actions;
}

Actions Supervision::rank_quiet(int rank, SteadyTime now) {
  Actions actions;
  set_state(at(rank), RankState::kQuiet);
  proceed(now, actions);
  return actions;
}

Actions Supervision::agent_gone(int rank, SteadyTime now) {
  Actions actions;
  Rank& gone = at(rank);
  if (gone.state == RankState::kGone) return actions;
  const bool ended = gone.state == RankState::kEnded || gone.state == RankState::kQuiet;
  set_state(gone, RankState::kGone);
  if (!ended) {
    // Its training process died with it.  After a stop, or when mpirun is gone, that is no news.
    gone.outcome.end = stopping_ || starter_gone_ ? RankEnd::kStopped : RankEnd::kAgentLost;
    gone.outcome.status = ExitStatus::signaled(SIGKILL);
    gone.outcome.ended_at = std::chrono::system_clock::now();
  }
  if (failed(gone.outcome) && !stopping_) {
    begin_stop(limits_.failure_grace_period.value, now, actions);
  }
  proceed(now, actions);
  return actions;
}

Actions Supervision::agent_signalled(int, int, SteadyTime now) {
  if (!stopping_ && !left_ && !mpirun_deadline_) mpirun_deadline_ = now + kReasonBehindSignal;
  return {};
}

Actions Supervision::starter_ended(const ExitStatus& status, SteadyTime now) {
  starter_gone_ = true;
  starter_deadline_.reset();
  Actions actions;
  if (!left_ && !stopping_) {
    const bool never_started = started_count_ < world_size();
    FirstFailure failure;
    failure.origin = FailureOrigin::kMuster;
    failure.how = "mpirun_ended";
    failure.value = status.value;
    failure.description = "mpirun " + status.describe() +
                          (never_started ? " before all ranks had started" : " while ranks ran");
    return muster_failed(failure, to_int(never_started ? ExitCode::kTimeout : ExitCode::kInternal),
                         now);
  }
  if (!left_) forget_waiting_ranks();
  proceed(now, actions);
  return actions;
}

Actions Supervision::all_agents_left(SteadyTime now) {
  if (!left_ || starter_gone_) return {};
  // After a failure mpirun may have something to say; after a success only its own files to remove,
  // which lie in our directories.
  const bool succeeded = !stopping_ && first_failed_rank() == nullptr;
  starter_deadline_ = now + (succeeded ? patience_after_success_ : kStarterLinger);
  return tick(now);
}

Actions Supervision::streams_drained(SteadyTime now) {
  Actions actions;
  drained_ = true;
  drain_deadline_.reset();
  proceed(now, actions);
  return actions;
}

Actions Supervision::stop_requested(int signal_number, SteadyTime now, const std::string& by) {
  Actions actions;
  const std::string who = by.empty() ? signal_name(signal_number) : by;
  open_budget(now);
  // A terminal that closes may send two, or follow a Ctrl-C: nobody asked for haste.
  if (stopping_ && signal_number == SIGHUP) return actions;
  if (left_) {
    // Every rank has ended; all that a stop can shorten is the wait for the last output.
    if (!drained_ && !cut_) {
      cut_ = true;
      actions.emplace_back(CutStreams{who});
    }
  } else if (stopping_) {
    kill_now(now, actions);
  } else {
    stop_signal_ = signal_number;
    stopped_by_ = who;
    config::Milliseconds grace = limits_.stop_grace_period.value;
    if (stages_) {
      grace = std::min(
          grace, std::chrono::duration_cast<config::Milliseconds>(stages_->grace_until - now));
    }
    begin_stop(grace, now, actions);
  }
  proceed(now, actions);
  return actions;
}

Actions Supervision::muster_failed(FirstFailure failure, int exit_code, SteadyTime now) {
  Actions actions;
  if (!stopping_) {  // else something else failed first and gives the code
    muster_failure_ = MusterFailure{std::move(failure), exit_code};
    begin_stop(limits_.failure_grace_period.value, now, actions);
  }
  proceed(now, actions);
  return actions;
}

Actions Supervision::tick(SteadyTime now) {
  const auto due = [now](std::optional<SteadyTime>& deadline) {
    if (!deadline || now < *deadline) return false;
    deadline.reset();
    return true;
  };
  FirstFailure failure;
  failure.origin = FailureOrigin::kMuster;
  if (due(start_deadline_) && !stopping_) {
    failure.how = "start_timeout";
    failure.value = started_count_;
    failure.description = "only " + std::to_string(started_count_) + " of " +
                          std::to_string(world_size()) + " ranks had started after join_timeout";
    return muster_failed(failure, to_int(ExitCode::kTimeout), now);
  }
  if (due(mpirun_deadline_) && !stopping_ && !left_) {
    failure.how = "mpirun_ended";
    failure.description = "mpirun told every rank to end";
    return muster_failed(failure, to_int(ExitCode::kInternal), now);
  }
  Actions actions;
  if (due(run_deadline_) && !stopping_ && !left_) {
    failure.how = "time_limit";
    failure.value = static_cast<int>(limits_.max_run_duration.value->count());
    failure.description = "reached max_run_duration_seconds";
    muster_failure_ = MusterFailure{failure, to_int(ExitCode::kTimeLimit)};
    begin_stop(limits_.stop_grace_period.value, now, actions);
  }
  if (due(kill_deadline_)) kill_now(now, actions);
  if (due(server_deadline_)) kill_servers(now, actions);
  if (due(give_up_deadline_)) {
    for (const int rank :
         ranks_in({RankState::kAssigned, RankState::kRunning, RankState::kEnded})) {
      if (at(rank).state == RankState::kRunning) {
        at(rank).outcome.end = RankEnd::kStopped;
        at(rank).outcome.status = ExitStatus::signaled(SIGKILL);
        at(rank).outcome.detail = "it does not react to SIGKILL (stuck in the kernel)";
      }
      set_state(at(rank), RankState::kQuiet);
    }
  }
  if (due(drain_deadline_)) {
    cut_ = true;
    const bool budget = stages_ && now >= stages_->drain_until;
    actions.emplace_back(CutStreams{budget ? "stop_budget" : "drain_timeout"});
  }
  if (due(starter_deadline_) && !starter_gone_) {
    // Killed already and not reaped: stuck in the kernel.  The run ends without it.
    if (starter_killed_) {
      starter_gone_ = true;
    } else {
      starter_deadline_ = deadline(now, kGiveUp);
      actions.emplace_back(KillStarter{});
    }
    starter_killed_ = true;
  }
  proceed(now, actions);
  return actions;
}

std::optional<SteadyTime> Supervision::next_deadline() const {
  std::optional<SteadyTime> next;
  for (const auto& deadline :
       {start_deadline_, run_deadline_, mpirun_deadline_, kill_deadline_, server_deadline_,
        give_up_deadline_, drain_deadline_, starter_deadline_}) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  return next;
}

int Supervision::running_count() const {
  return count({RankState::kRunning});
}

void Supervision::note_mpi_library(int rank, std::string name) {
  at(rank).outcome.mpi_library = std::move(name);
}

void Supervision::note_placement(int rank, plan::PlacementSeen seen) {
  at(rank).outcome.placement_seen.push_back(std::move(seen));
}

void Supervision::note_gpus(int rank, std::vector<std::string> uuids) {
  auto& looks = at(rank).outcome.placement_seen;
  if (!looks.empty()) looks.back().gpus = std::move(uuids);
}

std::vector<std::string> Supervision::note_placement_differences(
    int rank, const std::vector<std::string>& differences) {
  std::vector<std::string>& known = at(rank).outcome.placement_differences;
  std::vector<std::string> added;
  for (const std::string& difference : differences) {
    if (std::find(known.begin(), known.end(), difference) != known.end()) continue;
    known.push_back(difference);
    added.push_back(difference);
  }
  return added;
}

void Supervision::note_agent_end(int rank, std::string detail) {
  at(rank).outcome.detail = std::move(detail);
}

std::string Supervision::why_stopping() const {
  return muster_failure_ ? muster_failure_->failure.description : "";
}

// Once: when nobody is left whom they could serve.
void Supervision::end_servers_alone(SteadyTime now, Actions& actions) {
  if (stopping_ || servers_asked_at_) return;
  if (server_count_ == 0 || server_count_ == world_size()) return;
  for (const int rank :
       ranks_in({RankState::kWaiting, RankState::kAssigned, RankState::kRunning})) {
    if (!at(rank).is_server) return;
  }
  const std::vector<int> running = ranks_in({RankState::kRunning});
  servers_asked_at_ = std::chrono::system_clock::now();
  const config::Milliseconds grace = limits_.stop_grace_period.value;
  if (grace <= 0ms) {
    kill_servers(now, actions);
    return;
  }
  if (!running.empty()) actions.emplace_back(SignalRanks{running, SIGTERM});
  server_deadline_ = now + grace;
}

void Supervision::kill_servers(SteadyTime now, Actions& actions) {
  if (servers_killed_ || killed_) return;
  servers_killed_ = true;
  std::vector<int> alive;
  for (const int rank : ranks_in({RankState::kAssigned, RankState::kRunning, RankState::kEnded})) {
    if (at(rank).is_server) alive.push_back(rank);
  }
  if (!alive.empty()) actions.emplace_back(KillRanks{alive});
  give_up_deadline_ = deadline(now, kGiveUp);
}

void Supervision::begin_stop(config::Milliseconds grace, SteadyTime now, Actions& actions) {
  stopping_ = true;
  grace_ = grace;
  stop_began_at_ = std::chrono::system_clock::now();
  start_deadline_.reset();
  run_deadline_.reset();
  mpirun_deadline_.reset();
  server_deadline_.reset();
  forget_waiting_ranks();
  if (grace <= 0ms) {
    kill_now(now, actions);
    return;
  }
  const std::vector<int> running = ranks_in({RankState::kRunning});
  if (!running.empty()) actions.emplace_back(SignalRanks{running, SIGTERM});
  kill_deadline_ = now + grace;
}

void Supervision::kill_now(SteadyTime now, Actions& actions) {
  kill_deadline_.reset();
  if (killed_) return;
  killed_ = true;
  // A kill that overtakes the start is repeated when the start is reported.
  const std::vector<int> alive =
      ranks_in({RankState::kAssigned, RankState::kRunning, RankState::kEnded});
  if (!alive.empty()) actions.emplace_back(KillRanks{alive});
  give_up_deadline_ = deadline(now, kGiveUp);
}

// The first stop from outside counts, also one that comes while a failure is being dealt with.
void Supervision::open_budget(SteadyTime now) {
  if (stages_ || !limits_.stop_budget.value) return;
  stages_ = StopStages::from(now, *limits_.stop_budget.value);
  for (auto* set : {&give_up_deadline_, &drain_deadline_, &starter_deadline_}) {
    if (*set) *set = deadline(now, std::chrono::ceil<config::Milliseconds>(**set - now));
  }
}

SteadyTime Supervision::deadline(SteadyTime now, config::Milliseconds patience) const {
  if (!stages_) return now + patience;
  // A budget that is used up leaves SIGKILL the moment that it takes.
  const SteadyTime soonest = now + std::min<config::Milliseconds>(patience, kKillTakes);
  return std::max(std::min(now + patience, stages_->drain_until), soonest);
}

void Supervision::stood_still(std::chrono::steady_clock::duration duration) {
  for (auto* set : {&start_deadline_, &run_deadline_, &mpirun_deadline_, &kill_deadline_,
                    &server_deadline_, &give_up_deadline_, &drain_deadline_, &starter_deadline_}) {
    if (*set) **set += duration;
  }
  if (stages_) stages_->shift(duration);
}

// Agents that have not asked for their rank yet will be told to leave when they do.
void Supervision::forget_waiting_ranks() {
  for (const int rank : ranks_in({RankState::kWaiting})) set_state(at(rank), RankState::kQuiet);
}

void Supervision::proceed(SteadyTime now, Actions& actions) {
  if (finished_) return;
  if (!left_) end_servers_alone(now, actions);
  if (!left_ && count({RankState::kQuiet, RankState::kGone}) == world_size()) {
    left_ = true;
    kill_deadline_.reset();
    server_deadline_.reset();
    give_up_deadline_.reset();
    run_deadline_.reset();
    mpirun_deadline_.reset();
    drain_deadline_ = deadline(now, limits_.drain_timeout.value);
    starter_deadline_ = deadline(now, kGiveUp);
    actions.emplace_back(LeaveAgents{});
  }
  if (left_ && starter_gone_ && (drained_ || cut_)) {
    finished_ = true;
    actions.emplace_back(Finish{});
  }
}

std::vector<int> Supervision::ranks_in(std::initializer_list<RankState> states) const {
  std::vector<int> found;
  for (int rank = 0; rank < world_size(); ++rank) {
    if (std::find(states.begin(), states.end(), ranks_[index(rank)].state) != states.end()) {
      found.push_back(rank);
    }
  }
  return found;
}

// Every end of a rank asks, so this must not look at all of them.
int Supervision::count(std::initializer_list<RankState> states) const {
  return std::accumulate(states.begin(), states.end(), 0, [&](int sum, RankState state) {
    return sum + in_state_[static_cast<std::size_t>(state)];
  });
}

void Supervision::set_state(Rank& rank, RankState state) {
  --in_state_[static_cast<std::size_t>(rank.state)];
  rank.state = state;
  ++in_state_[static_cast<std::size_t>(state)];
}

const Supervision::Rank* Supervision::first_failed_rank() const {
  const Rank* first = nullptr;
  for (const Rank& rank : ranks_) {
    if (!failed(rank.outcome) || !rank.outcome.ended_at) continue;
    if (first == nullptr || *rank.outcome.ended_at < *first->outcome.ended_at) first = &rank;
  }
  return first;
}

plan::RunOutcome Supervision::outcome() const {
  plan::RunOutcome outcome;
  for (const Rank& rank : ranks_) outcome.ranks.push_back(rank.outcome);

  const Rank* rank = first_failed_rank();
  if (rank != nullptr && !muster_failure_) {
    outcome.status = plan::RunStatus::kFailed;
    outcome.first_failure = first_failure_of(rank->outcome);
    outcome.exit_code = rank->outcome.end == RankEnd::kAgentLost
                            ? to_int(ExitCode::kInternal)
                            : rank->outcome.status.as_exit_code();
  } else if (muster_failure_) {
    outcome.status = plan::RunStatus::kFailed;
    outcome.first_failure = muster_failure_->failure;
    outcome.exit_code = muster_failure_->exit_code;
  } else if (stop_signal_) {
    outcome.status = plan::RunStatus::kCancelled;
    outcome.exit_code = 128 + *stop_signal_;
    FirstFailure stopped;
    stopped.origin = FailureOrigin::kMuster;
    stopped.how = "stopped";
    stopped.value = *stop_signal_;
    stopped.description = "stopped by " + stopped_by_;
    outcome.first_failure = stopped;
  }
  if (stages_) outcome.finish_by = stages_->results_until;
  return outcome;
}

}  // namespace muster::exec
