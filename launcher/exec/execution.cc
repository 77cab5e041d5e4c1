// Execution joins the effects around the Supervision state machine: events go in from the loop, its
// actions are carried out here, and nothing here decides how a run ends.
//
// Order at the end: every rank quiet → agents leave → mpirun goes → strangers (orphans of a killed
// agent) are swept → pipes reach end of file → done.

#include "launcher/exec/execution.h"

#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/event_loop.h"
#include "base/exit_code.h"
#include "base/process.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "collector/store/disk_room.h"
#include "collector/store/stream_ledger.h"
#include "launcher/exec/agent_server.h"
#include "launcher/exec/failure_evidence.h"
#include "launcher/exec/gpu_check.h"
#include "launcher/exec/mpi_worlds.h"
#include "launcher/exec/open_mpi_places.h"
#include "launcher/exec/rank_spec.h"
#include "launcher/exec/rank_starter.h"
#include "launcher/exec/pipe_budget.h"
#include "launcher/exec/placement_looks.h"
#include "launcher/exec/rank_streams.h"
#include "launcher/exec/supervision.h"
#include "launcher/plan/driver_banner.h"
#include "launcher/plan/placement_check.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using plan::RankEnd;
using plan::RankOutcome;
using Clock = std::chrono::steady_clock;

constexpr auto kSweepDeadline = 5s;
// mpirun takes 12 ms to remove its session and to end; we remove the session anyway.
constexpr auto kMpirunPatienceAfterSuccess = 0ms;
constexpr auto kAgentsPatience = 200ms;
constexpr auto kStarterEndWait = 1s;
// Between forking one agent and the next mpirun takes a millisecond.
constexpr auto kStartCheckInterval = 300ms;
constexpr int kStartChecksWithoutNews = 4;
constexpr auto kCompanionCheckInterval = 500ms;

class Execution : public AgentHandler {
 public:
  Execution(const ExecutionRequest& request, RunObserver& observer)
      : request_(request),
        observer_(observer),
        supervision_(request.plan.world_size, request.plan.limits, Clock::now(),
                     request.plan.mpirun ? kMpirunPatienceAfterSuccess : kAgentsPatience,
                     plan::servers(request.plan)),
        ledger_(request.run_directory.streams_jsonl()),
        room_(request.run_directory.root()) {
    callbacks_.grown = [this] { observer_.streams_grown(); };
    callbacks_.ended = [this] { check_drained(); };
    callbacks_.policy = request.stream_policy;
    callbacks_.trouble = [this](const std::string& stream, const std::string& why) {
      disk_full(stream, why);
    };
    callbacks_.recovered = [this](const std::string& stream) { disk_has_room(stream); };
    callbacks_.gap = [this](const std::string& stream, const store::Gap& gap) {
      ledger_.gap(stream, gap);
      if (gap.to) observer_.stream_gap(stream, gap);
    };
    callbacks_.has_room = [this] { return room_.has_room(); };
  }

  Result<plan::RunOutcome> run();

 private:
  Result<> prepare();
  Result<> create_streams();
  void hold_streams();
  void undo_start();
  Result<std::unique_ptr<RankStarter>> start_ranks();

  void agent_connected(int rank) override;
  void agent_said(int rank, const protocol::AgentMessage& message) override;
  void agent_gone(int rank) override;
  void placement_seen(int rank, const protocol::PlacementSeen& seen);
  void gpus_seen(int rank, const std::set<std::string>& uuids);
  void note_differences(int rank, const std::vector<std::string>& differences);
  void training_ended(int rank, const protocol::TrainingEnded& ended);
  void begin_driver_log(int rank, const protocol::TrainingStarted& started);
  void end_driver_logs(plan::RunOutcome& outcome);

  void read_signals();
  void suspend();
  void read_stop_requests();
  void check_starter();
  void await_end_of_starter();
  void check_unconnected_agents();
  void check_missing_agents();
  void arm_start_check();
  void check_left();
  void check_drained();
  void reap_strangers();
  void sweep_strangers();
  bool is_stranger(pid_t pid) const;
  void disk_full(const std::string& stream, const std::string& why);
  void disk_has_room(const std::string& stream);
  void record_streams(plan::RunOutcome& outcome);
  void muster_failed(const std::string& how, const Error& error);
  void check_companion();
  void arm_companion_check();
  bool owned_by_others(pid_t pid) const;

  // Hands `event` to the supervision and does what it says; if that begins a stop, `why` is told.
  template <typename Event>
  void feed(Event event, const std::string& why);
  void apply(const Actions& actions);
  void carry_out(const SignalRanks& action);
  void carry_out(const KillRanks& action);
  void carry_out(const LeaveAgents& action);
  void carry_out(const KillStarter& action);
  void carry_out(const CutStreams& action);
  void carry_out(const Finish& action);
  void arm_timer();
  void arm_tick();

  int world_size() const { return request_.plan.world_size; }
  RankStreams& streams(int rank) { return *streams_[static_cast<std::size_t>(rank)]; }

  const ExecutionRequest& request_;
  RunObserver& observer_;
  EventLoop loop_;
  Supervision supervision_;
  StreamCallbacks callbacks_;
  store::StreamLedger ledger_;
  store::DiskRoom room_;
  std::set<std::string> full_streams_;  // whose files take no more for now
  std::set<pid_t> inherited_children_;  // of whoever exec'd us, or PID 1's: not ours to kill
  Fd nothing_;                          // /dev/null, for ranks without a stdin
  Fd log_;
  std::vector<std::unique_ptr<RankStreams>> streams_;
  std::unique_ptr<AgentServer> server_;
  std::unique_ptr<RankStarter> starter_;
  EventLoop::Watch signal_watch_;
  EventLoop::Watch stop_watch_;
  EventLoop::Watch flow_watch_;
  EventLoop::Watch timer_;
  EventLoop::Watch tick_;
  EventLoop::Watch start_check_;
  EventLoop::Watch companion_check_;
  GpuCheck gpu_check_{
      loop_, [this](int rank, const std::set<std::string>& uuids) { gpus_seen(rank, uuids); }};
  std::optional<ExitStatus> starter_status_;
  std::map<int, protocol::RankEvidence> evidence_;  // of ranks that failed
  std::set<int> agents_gone_;
  std::set<pid_t> arrived_agents_;  // at the last start check
  int start_checks_without_news_ = 0;
  bool starter_gone_ = false;
  bool servers_told_ = false;
  bool companion_failed_ = false;
  bool left_ = false;
  bool drained_ = false;
};

Result<plan::RunOutcome> Execution::run() {
  const auto started_at = std::chrono::system_clock::now();
  MUSTER_TRY(prepare());
  MUSTER_TRY(starter_->start());
  // mpirun takes its time until it starts the first agent, and nothing is read from the agents yet.
  if (auto created = create_streams(); !created) {
    undo_start();
    return Failure(std::move(created).error());
  }
  arm_timer();
  arm_start_check();
  if (request_.companion != nullptr) arm_companion_check();
  if (observer_.wants_ticks()) arm_tick();
  reap_strangers();  // of what ended before the run no signal tells
  loop_.run();

  sweep_strangers();
  plan::RunOutcome outcome = supervision_.outcome();
  record_streams(outcome);
  explain_failures(request_.run_directory, request_.attempt, evidence_, outcome);
  outcome.warnings = find_separate_worlds(request_.plan, outcome.ranks);
  end_driver_logs(outcome);
  outcome.started_at = started_at;
  outcome.ended_at = std::chrono::system_clock::now();
  return outcome;
}

Result<> Execution::prepare() {
  become_child_subreaper();
  for (const std::string& note : sandbox_notes()) observer_.notice(note);
  for (const pid_t pid : children_of_this_process()) inherited_children_.insert(pid);
  MUSTER_TRY_ASSIGN(nothing_, open_file("/dev/null", O_RDONLY));
  MUSTER_TRY_ASSIGN(
      server_, AgentServer::listen(loop_, request_.runtime.node_socket(), world_size(), *this));
  signal_watch_ = loop_.on_readable(request_.signals.get(), [this] { read_signals(); });
  if (request_.control != nullptr) {
    stop_watch_ = loop_.on_readable(request_.control->stop_fd(), [this] { read_stop_requests(); });
  }
  if (request_.flow != nullptr) {
    flow_watch_ = loop_.on_readable(request_.flow->fd(), [this] { hold_streams(); });
  }
  MUSTER_TRY_ASSIGN(starter_, start_ranks());
  return {};
}

// Nobody waits for room who has ended: what is left in the pipes is little.
void Execution::hold_streams() {
  const bool held = request_.flow->take() && !left_;
  for (const auto& streams : streams_) streams->hold(held);
}

Result<> Execution::create_streams() {
  const int pipe_size = affordable_pipe_size(2 * world_size());
  for (int rank = 0; rank < world_size(); ++rank) {
    MUSTER_TRY_ASSIGN(
        auto streams,
        RankStreams::create(loop_, request_.run_directory, rank, request_.attempt,
                            request_.runtime.metrics_fifo(rank).string(), pipe_size, callbacks_));
    if (request_.plan.driver_sentences != plan::DriverSentences::kNone) {
      streams->keep_driver_log(request_.run_directory.rank_driver_log(rank, request_.attempt));
    }
    streams_.push_back(std::move(streams));
  }
  return {};
}

// No agent has got its rank yet, so nothing of the run has been started.
void Execution::undo_start() {
  starter_->kill();
  const auto deadline = Clock::now() + kStarterEndWait;
  while (!starter_->try_reap() && Clock::now() < deadline) muster::detail::pause_briefly();
  sweep_strangers();
}

Result<std::unique_ptr<RankStarter>> Execution::start_ranks() {
  const bool mpi = request_.plan.mpirun.has_value();
  const auto log_path =
      mpi ? request_.run_directory.mpirun_log() : request_.run_directory.launcher_log("agents");
  auto log = open_file(log_path, O_WRONLY | O_CREAT | O_APPEND);
  if (!log) {
    log.error().code = ErrorCode::kRunDirectory;
    return Failure(std::move(log).error());
  }
  log_ = std::move(*log);

  StarterContext context;
  context.environment = request_.starter_environment;
  context.environment[protocol::kNodeSocketVariable] = request_.runtime.node_socket().string();
  context.agent_executable = request_.agent_executable;
  context.working_directory = "/";
  context.log_fd = log_.get();
  if (!mpi) return make_direct_starter(world_size(), std::move(context));
  add_open_mpi_places(request_.runtime, context.environment);
  add_open_mpi_fallbacks(request_.runtime, context.environment);
  context.rankfile_path = request_.runtime.rankfile().string();
  return make_mpirun_starter(*request_.plan.mpirun, std::move(context));
}

void Execution::agent_connected(int rank) {
  protocol::LauncherMessage message;
  if (!supervision_.accepts_ranks()) {
    message.mutable_leave();
    server_->send(rank, message);
    return;
  }
  *message.mutable_spec() = rank_spec(request_, rank);
  const bool has_stdin = rank == 0 && request_.rank0_stdin >= 0;
  server_->send(rank, message,
                {has_stdin ? request_.rank0_stdin : nothing_.get(),
                 streams(rank).stdout_write_end().get(), streams(rank).stderr_write_end().get()});
  streams(rank).close_write_ends();
  supervision_.rank_assigned(rank);
}

void Execution::agent_said(int rank, const protocol::AgentMessage& message) {
  using protocol::AgentMessage;
  switch (message.message_case()) {
    case AgentMessage::kStarted: {
      const RankOutcome outcome = with_start(supervision_.rank(rank), message.started(),
                                             request_.plan.ranks[static_cast<std::size_t>(rank)]);
      begin_driver_log(rank, message.started());
      const Actions actions = supervision_.rank_started(outcome, Clock::now());
      observer_.rank_started(outcome, supervision_.running_count(), world_size());
      if (!outcome.placement_differences.empty()) {
        observer_.placement_differs(rank, outcome.placement_differences);
      }
      apply(actions);
      break;
    }
    case AgentMessage::kEnded: training_ended(rank, message.ended()); break;
    case AgentMessage::kQuiet: apply(supervision_.rank_quiet(rank, Clock::now())); break;
    case AgentMessage::kSignalled:
      observer_.notice("the agent of rank " + std::to_string(rank) + " got " +
                       signal_name(message.signalled().signal_number()) + " from process " +
                       std::to_string(message.signalled().sender_pid()));
      // From anybody else than mpirun it is no word about the run.
      if (request_.plan.mpirun && message.signalled().from_parent()) {
        // Else it would kill the agents now, and the ranks with them, in the middle of their grace.
        if (!request_.plan.mpirun->patient && !left_) starter_->hold();
        apply(
            supervision_.agent_signalled(rank, message.signalled().signal_number(), Clock::now()));
      }
      break;
    case AgentMessage::kMpiLibrary:
      supervision_.note_mpi_library(rank, message.mpi_library().file_name());
      break;
    case AgentMessage::kPlacement: placement_seen(rank, message.placement()); break;
    case AgentMessage::kEvidence: evidence_[rank] = message.evidence(); break;
    case AgentMessage::kParentGone: await_end_of_starter(); break;
    default: break;
  }
}

void Execution::placement_seen(int rank, const protocol::PlacementSeen& seen) {
  const RankOutcome& outcome = supervision_.rank(rank);
  supervision_.note_placement(rank, placement_of(seen));
  note_differences(rank, differences_later(request_, outcome, seen));
  if (request_.plan.ranks[static_cast<std::size_t>(rank)].gpus.empty()) return;
  gpu_check_.look_soon([this] {
    std::vector<TrainingProcess> running;
    for (int each = 0; each < world_size(); ++each) {
      const RankOutcome& now = supervision_.rank(each);
      if (now.started_at && !now.ended_at) running.push_back({each, now.training_pid});
    }
    return running;
  });
}

void Execution::gpus_seen(int rank, const std::set<std::string>& uuids) {
  supervision_.note_gpus(rank, {uuids.begin(), uuids.end()});
  note_differences(rank, plan::differences_of_gpus(request_.plan.ranks, rank, uuids));
}

void Execution::note_differences(int rank, const std::vector<std::string>& differences) {
  const auto added = supervision_.note_placement_differences(rank, differences);
  if (!added.empty()) observer_.placement_differs(rank, added);
}

void Execution::begin_driver_log(int rank, const protocol::TrainingStarted& started) {
  store::DriverLog* log = streams(rank).driver_log();
  if (log == nullptr) return;
  const std::vector<std::string> expanded(started.argv().begin(), started.argv().end());
  log->begin(plan::driver_banner(request_.plan, expanded.empty() ? request_.plan.argv : expanded));
}

void Execution::end_driver_logs(plan::RunOutcome& outcome) {
  for (const RankOutcome& rank : outcome.ranks) {
    store::DriverLog* log = streams(rank.rank).driver_log();
    if (log == nullptr) continue;
    log->end(plan::driver_epilogue(request_.plan.driver_sentences, rank));
    if (!log->problem().empty()) outcome.warnings.push_back(log->problem());
  }
}

void Execution::training_ended(int rank, const protocol::TrainingEnded& ended) {
  // mpirun's death comes before the ends that it causes, whatever order the loop reads them in.
  check_starter();
  const RankOutcome outcome = with_end(supervision_.rank(rank), ended);
  const std::string how =
      outcome.end == RankEnd::kExecFailed ? outcome.exec_failure : outcome.status.describe();
  feed(
      [&] {
        Actions actions = supervision_.rank_ended(outcome, ended.by_agent(), Clock::now());
        observer_.rank_ended(supervision_.rank(rank), supervision_.running_count());
        return actions;
      },
      "rank " + std::to_string(rank) + " " + how);
}

void Execution::agent_gone(int rank) {
  if (!agents_gone_.insert(rank).second) return;
  check_starter();
  feed(
      [&] {
        Actions actions = supervision_.agent_gone(rank, Clock::now());
        if (supervision_.rank(rank).end == RankEnd::kAgentLost) {
          const auto end = starter_->agent_end(rank);
          supervision_.note_agent_end(rank, end ? end->describe() : "");
          observer_.rank_ended(supervision_.rank(rank), supervision_.running_count());
        }
        return actions;
      },
      "the agent of rank " + std::to_string(rank) + " ended");
  check_left();
}

void Execution::read_signals() {
  while (const auto info = request_.signals.read()) {
    const int signal_number = static_cast<int>(info->ssi_signo);
    if (signal_number == SIGCHLD) {
      check_starter();
      check_unconnected_agents();
      check_companion();
      reap_strangers();
    } else if (signal_number == SIGUSR1 || signal_number == SIGUSR2) {
      carry_out(SignalRanks{server_->connected_ranks(), signal_number});
    } else if (signal_number == SIGTSTP) {
      suspend();
    } else if (signal_number == SIGWINCH) {
      observer_.terminal_resized();
    } else if (signal_number == SIGTTOU || signal_number == SIGTTIN) {
      // Blocked, so that a terminal which is not ours at the moment cannot stop us.
    } else {
      const std::string name = signal_name(signal_number);
      if (supervision_.stopping() && signal_number != SIGHUP) {
        observer_.notice("a second " + name + ": no more grace");
      }
      feed([&] { return supervision_.stop_requested(signal_number, Clock::now()); }, name);
    }
  }
}

// Ctrl-Z: the ranks stop first, then this process, as the shell expects; `fg` and `bg` wake it.
// mpirun and the agents have nothing to do meanwhile and are left alone.
void Execution::suspend() {
  const Clock::time_point began = Clock::now();
  carry_out(SignalRanks{server_->connected_ranks(), SIGSTOP});
  observer_.suspending();
  stop_this_process();
  supervision_.stood_still(Clock::now() - began);
  carry_out(SignalRanks{server_->connected_ranks(), SIGCONT});
  observer_.resumed();
  arm_timer();
}

// As SIGTERM does, by name; "now" is such a request and the next at once.
void Execution::read_stop_requests() {
  for (const StopRequest& request : request_.control->take_stop_requests()) {
    const auto stop = [&] {
      return supervision_.stop_requested(SIGTERM, Clock::now(), request.by);
    };
    const bool again = supervision_.stopping();
    if (again) observer_.notice("asked to stop again by " + request.by + ": no more grace");
    feed(stop, request.by);
    if (request.now && !again && !left_) feed(stop, request.by);
  }
}

void Execution::check_starter() {
  if (starter_gone_) return;
  if (!starter_status_) starter_status_ = starter_->try_reap();
  // Without mpirun the starter is the agents, and each of them is heard of by itself.
  const bool mpi = request_.plan.mpirun.has_value();
  if (!starter_status_ || (!mpi && !left_)) return;
  starter_gone_ = true;
  const std::string how = "mpirun " + starter_status_->describe();
  if (mpi) observer_.notice(how);
  feed([&] { return supervision_.starter_ended(*starter_status_, Clock::now()); }, how);
  check_left();
}

// The kernel tells mpirun's children of its death a moment before mpirun can be reaped; what they
// do then must not be taken for their own failure.
void Execution::await_end_of_starter() {
  const auto deadline = Clock::now() + kStarterEndWait;
  for (check_starter(); !starter_gone_ && Clock::now() < deadline; check_starter()) {
    muster::detail::pause_briefly();
  }
}

// An agent that ends before it has connected leaves no connection whose end would tell.
void Execution::check_unconnected_agents() {
  for (int rank = 0; rank < world_size(); ++rank) {
    if (starter_->agent_has_ended(rank) && !server_->is_connected(rank)) agent_gone(rank);
  }
}

// An agent that is killed before it has connected, while mpirun still forks the others: mpirun
// notes it and goes on as if nothing was.  Then every agent that it has is here, and ranks are
// missing.
void Execution::check_missing_agents() {
  std::set<pid_t> arrived = server_->connected_agents();
  const bool news =
      arrived.empty() || arrived != arrived_agents_ || starter_->awaits_agent(arrived);
  arrived_agents_ = std::move(arrived);
  start_checks_without_news_ = news ? 0 : start_checks_without_news_ + 1;
  if (start_checks_without_news_ < kStartChecksWithoutNews) return;
  for (int rank = 0; rank < world_size(); ++rank) {
    if (!server_->is_connected(rank)) agent_gone(rank);
  }
}

void Execution::arm_start_check() {
  start_check_ = loop_.at(Clock::now() + kStartCheckInterval, [this] {
    if (!supervision_.starting()) return;
    check_missing_agents();
    arm_start_check();
  });
}

// After LeaveAgents: once nobody of the run is connected, orphans of killed agents are all that can
// be left, and they may hold a rank's pipes.
void Execution::check_left() {
  if (!left_ || !server_->connected_ranks().empty()) return;
  apply(supervision_.all_agents_left(Clock::now()));
  if (starter_gone_) sweep_strangers();
}

void Execution::check_drained() {
  if (drained_ || !left_) return;
  for (const auto& streams : streams_) {
    if (!streams->ended()) return;
  }
  drained_ = true;
  apply(supervision_.streams_drained(Clock::now()));
}

bool Execution::is_stranger(pid_t pid) const {
  return !starter_->owns(pid) && !inherited_children_.contains(pid) && !owned_by_others(pid) &&
         !gpu_check_.owns(pid);
}

// As a subreaper (or PID 1) we become the parent of every orphan that no living agent takes.  What
// was there before the run is nobody else's to reap either.
void Execution::reap_strangers() {
  for (const pid_t pid : children_of_this_process()) {
    if (starter_->owns(pid) || owned_by_others(pid) || gpu_check_.owns(pid)) continue;
    if (::waitpid(pid, nullptr, WNOHANG) == pid) inherited_children_.erase(pid);
  }
}

void Execution::sweep_strangers() {
  const int killed = kill_children_until_none([this](pid_t pid) { return !is_stranger(pid); },
                                              Clock::now() + kSweepDeadline);
  if (killed > 0)
    observer_.notice("ended " + counted(killed, "process") + " that ranks left behind");
}

// The ranks go on: what does not fit is a gap, and told at the end.
void Execution::disk_full(const std::string& stream, const std::string& why) {
  const bool is_first = full_streams_.empty();
  full_streams_.insert(stream);
  if (!is_first) return;
  request_.run_directory.release_urgent_reserve();
  observer_.disk_full(stream, why);
}

void Execution::disk_has_room(const std::string& stream) {
  full_streams_.erase(stream);
  if (!full_streams_.empty()) return;
  static_cast<void>(ledger_.flush());
  observer_.disk_has_room();
}

// What every stream has in the end.  Missing bytes make a run that succeeded a failed one.
void Execution::record_streams(plan::RunOutcome& outcome) {
  std::string problem;
  for (const auto& streams : streams_) {
    streams->finish_metrics();
    streams->record_ends(ledger_);
    for (plan::StreamGap& gap : streams->gaps()) outcome.gaps.push_back(std::move(gap));
    if (problem.empty()) problem = streams->problem();
  }
  if (!ledger_.flush()) {
    // On a full disk the record of the end and this share what was set aside.
    request_.run_directory.release_reserve();
    static_cast<void>(ledger_.flush());
  }
  if (problem.empty() || outcome.exit_code != 0) return;
  outcome.status = plan::RunStatus::kFailed;
  outcome.exit_code = to_int(ExitCode::kRunDirectory);
  plan::FirstFailure failure;
  failure.origin = plan::FailureOrigin::kMuster;
  failure.how = "run_directory";
  failure.description = problem;
  outcome.first_failure = std::move(failure);
}

void Execution::muster_failed(const std::string& how, const Error& error) {
  plan::FirstFailure failure;
  failure.origin = plan::FailureOrigin::kMuster;
  failure.how = how;
  failure.description = error.message;
  feed(
      [&] {
        return supervision_.muster_failed(failure, to_int(exit_code_for(error.code)), Clock::now());
      },
      error.message);
}

bool Execution::owned_by_others(pid_t pid) const {
  return (request_.companion != nullptr && request_.companion->owns(pid)) ||
         (request_.owned_by_follower && request_.owned_by_follower(pid));
}

void Execution::check_companion() {
  if (request_.companion == nullptr || companion_failed_) return;
  const auto checked = request_.companion->check();
  if (checked) return;
  companion_failed_ = true;
  muster_failed("data", checked.error());
}

void Execution::arm_companion_check() {
  companion_check_ = loop_.at(Clock::now() + kCompanionCheckInterval, [this] {
    check_companion();
    arm_companion_check();
  });
}

template <typename Event>
void Execution::feed(Event event, const std::string& why) {
  const bool was_stopping = supervision_.stopping();
  const Actions actions = event();
  if (!was_stopping && supervision_.stopping()) {
    observer_.stopping(why.empty() ? supervision_.why_stopping() : why, supervision_.grace(),
                       supervision_.stopped_from_outside());
  }
  apply(actions);
  if (supervision_.ending_servers() && !servers_told_) {
    servers_told_ = true;
    observer_.notice("every worker has ended: the parameter servers are ended");
  }
}

void Execution::apply(const Actions& actions) {
  for (const Action& action : actions) {
    std::visit([this](const auto& one) { carry_out(one); }, action);
  }
  arm_timer();
}

void Execution::carry_out(const SignalRanks& action) {
  protocol::LauncherMessage message;
  message.mutable_signal()->set_signal_number(action.signal_number);
  for (const int rank : action.ranks) server_->send(rank, message);
}

void Execution::carry_out(const KillRanks& action) {
  observer_.killing(action.ranks.size());
  protocol::LauncherMessage message;
  message.mutable_kill();
  for (const int rank : action.ranks) server_->send(rank, message);
}

void Execution::carry_out(const LeaveAgents&) {
  left_ = true;
  observer_.draining();
  protocol::LauncherMessage message;
  message.mutable_leave();
  for (const int rank : server_->connected_ranks()) server_->send(rank, message);
  starter_->resume();
  if (request_.flow != nullptr) hold_streams();
  // Ranks that never started would otherwise keep their pipes open here.
  for (const auto& streams : streams_) streams->close_write_ends();
  check_drained();
  check_starter();
  check_left();
}

void Execution::carry_out(const KillStarter&) {
  observer_.notice("its agents have left: mpirun is ended");
  starter_->kill();
}

void Execution::carry_out(const CutStreams& action) {
  for (const auto& streams : streams_) {
    streams->cut(action.why + ": a process outside the run still holds it");
  }
}

void Execution::carry_out(const Finish&) {
  loop_.stop();
}

void Execution::arm_timer() {
  timer_ = EventLoop::Watch();
  if (const auto deadline = supervision_.next_deadline()) {
    timer_ =
        loop_.at(*deadline, [this] { feed([&] { return supervision_.tick(Clock::now()); }, ""); });
  }
}

void Execution::arm_tick() {
  tick_ = loop_.at(Clock::now() + 1s, [this] {
    observer_.tick();
    arm_tick();
  });
}

}  // namespace

sigset_t signals_of_execution() {
  sigset_t set =
      signal_set({SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH, SIGTTOU, SIGTTIN});
  // Ignored at the start: with nohup a closed terminal is no reason to stop, and a caller without
  // job control wants no Ctrl-Z.
  for (const int signal_number : {SIGHUP, SIGTSTP}) {
    struct sigaction action {};
    if (::sigaction(signal_number, nullptr, &action) != 0 || action.sa_handler != SIG_IGN) {
      ::sigaddset(&set, signal_number);
    }
  }
  return set;
}

Result<plan::RunOutcome> execute(const ExecutionRequest& request, RunObserver& observer) {
  return Execution(request, observer).run();
}

}  // namespace muster::exec
