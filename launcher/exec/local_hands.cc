// Order at the end: every rank quiet → agents leave → mpirun goes → strangers (orphans of a killed
// agent) are swept → pipes reach end of file → done.

#include "launcher/exec/local_hands.h"

#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "launcher/exec/open_mpi_places.h"
#include "launcher/exec/pipe_budget.h"
#include "launcher/exec/rank_spec.h"
#include "launcher/plan/driver_banner.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using plan::RankOutcome;
using Clock = std::chrono::steady_clock;

constexpr auto kSweepDeadline = 5s;
constexpr auto kStarterEndWait = 1s;
// Between forking one agent and the next mpirun takes a millisecond.
constexpr auto kStartCheckInterval = 300ms;
constexpr int kStartChecksWithoutNews = 4;

}  // namespace

LocalHands::LocalHands(EventLoop& loop, const ExecutionRequest& request, RunObserver& observer,
                       HandsListener& listener, int node_rank, LocalStarter starter)
    : loop_(loop),
      request_(request),
      observer_(observer),
      listener_(listener),
      node_rank_(node_rank),
      kind_(starter),
      ledger_(request.run_directory.streams_jsonl()),
      room_(request.run_directory.root()) {
  for (const plan::RankPlacement& rank : request.plan.ranks) {
    if (rank.node_rank == node_rank) ranks_.push_back(rank.rank);
  }
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

Result<> LocalHands::start() {
  MUSTER_TRY(prepare());
  if (starter_) MUSTER_TRY(starter_->start());
  // mpirun takes its time until it starts the first agent, and nothing is read from the agents yet.
  if (auto created = create_streams(); !created) {
    undo_start();
    return Failure(std::move(created).error());
  }
  if (starter_) arm_start_check();
  reap_strangers();  // of what ended before the run no signal tells
  return {};
}

Result<> LocalHands::prepare() {
  become_child_subreaper();
  for (const std::string& note : sandbox_notes()) observer_.notice(note);
  for (const pid_t pid : children_of_this_process()) inherited_children_.insert(pid);
  MUSTER_TRY_ASSIGN(nothing_, open_file("/dev/null", O_RDONLY));
  MUSTER_TRY_ASSIGN(server_, AgentServer::listen(loop_, request_.runtime.node_socket(),
                                                 {ranks_.begin(), ranks_.end()}, *this));
  if (request_.flow != nullptr) {
    flow_watch_ = loop_.on_readable(request_.flow->fd(), [this] { hold_streams(); });
  }
  return kind_ == LocalStarter::kOther ? Result<>() : make_starter();
}

// Nobody waits for room who has ended: what is left in the pipes is little.
void LocalHands::hold_streams() {
  const bool held = request_.flow->take() && !left_;
  for (const auto& [rank, local] : local_) local.streams->hold(held);
}

Result<> LocalHands::create_streams() {
  const int pipe_size = affordable_pipe_size(2 * static_cast<int>(ranks_.size()));
  for (const int rank : ranks_) {
    MUSTER_TRY_ASSIGN(
        auto streams,
        RankStreams::create(loop_, request_.run_directory, rank, request_.attempt,
                            request_.runtime.metrics_fifo(rank).string(), pipe_size, callbacks_));
    if (request_.plan.driver_sentences != plan::DriverSentences::kNone) {
      streams->keep_driver_log(request_.run_directory.rank_driver_log(rank, request_.attempt));
    }
    local_[rank].streams = std::move(streams);
  }
  return {};
}

// No agent has got its rank yet, so nothing of the run has been started.
void LocalHands::undo_start() {
  if (starter_) {
    starter_->kill();
    const auto deadline = Clock::now() + kStarterEndWait;
    while (!starter_->try_reap() && Clock::now() < deadline) muster::detail::pause_briefly();
  }
  sweep_strangers();
}

Result<> LocalHands::make_starter() {
  const bool mpi = kind_ == LocalStarter::kMpirun;
  const std::string agents =
      node_rank_ == 0 ? "agents" : request_.plan.nodes.front().hostname + "-agents";
  const auto log_path =
      mpi ? request_.run_directory.mpirun_log() : request_.run_directory.launcher_log(agents);
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
  if (!mpi) {
    starter_ = make_direct_starter(ranks_, std::move(context));
    return {};
  }
  add_open_mpi_places(request_.runtime, context.environment);
  add_open_mpi_fallbacks(request_.runtime, context.environment);
  context.rankfile_path = request_.runtime.rankfile().string();
  context.hostfile_path = request_.runtime.hostfile().string();
  starter_ = make_mpirun_starter(*request_.plan.mpirun, std::move(context));
  return {};
}

Result<> LocalHands::start_daemon(int id, const std::string& command) {
  if (!daemon_log_) {
    const std::string name = request_.plan.nodes.front().hostname + "-mpi";
    MUSTER_TRY_ASSIGN(daemon_log_, open_file(request_.run_directory.launcher_log(name),
                                             O_WRONLY | O_CREAT | O_APPEND));
  }
  std::map<std::string, std::string> environment = request_.starter_environment;
  environment[protocol::kNodeSocketVariable] = request_.runtime.node_socket().string();
  add_open_mpi_places(request_.runtime, environment);
  add_open_mpi_fallbacks(request_.runtime, environment);
  return daemons_.start(id, command, environment, daemon_log_.get());
}

void LocalHands::answer(int helper, const protocol::DaemonNews& news) {
  protocol::LauncherMessage message;
  *message.mutable_daemon() = news;
  server_->answer(helper, message);
}

void LocalHands::agent_connected(int rank) {
  protocol::LauncherMessage message;
  if (!listener_.accepts_ranks()) {
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
  listener_.agent_connected(rank);
}

void LocalHands::agent_said(int rank, const protocol::AgentMessage& message) {
  using protocol::AgentMessage;
  if (message.has_started()) {
    local_.at(rank).training_pid = message.started().pid();
    begin_driver_log(rank, message.started());
  }
  if (message.has_ended()) local_.at(rank).training_pid = 0;
  listener_.agent_said(rank, message);
  if (message.has_placement()) look_at_gpus(rank);
}

void LocalHands::look_at_gpus(int rank) {
  if (request_.plan.rank(rank).gpus.empty()) return;
  gpu_check_.look_soon([this] {
    std::vector<TrainingProcess> running;
    for (const auto& [each, local] : local_) {
      if (local.training_pid != 0) running.push_back({each, local.training_pid});
    }
    return running;
  });
}

void LocalHands::begin_driver_log(int rank, const protocol::TrainingStarted& started) {
  store::DriverLog* log = streams(rank).driver_log();
  if (log == nullptr) return;
  const std::vector<std::string> expanded(started.argv().begin(), started.argv().end());
  log->begin(plan::driver_banner(request_.plan, expanded.empty() ? request_.plan.argv : expanded));
}

void LocalHands::end_driver_logs(plan::RunOutcome& outcome) {
  for (const RankOutcome& rank : outcome.ranks) {
    if (!local_.contains(rank.rank)) continue;
    store::DriverLog* log = streams(rank.rank).driver_log();
    if (log == nullptr) continue;
    log->end(plan::driver_epilogue(request_.plan.driver_sentences, rank));
    if (!log->problem().empty()) outcome.warnings.push_back(log->problem());
  }
}

void LocalHands::agent_gone(int rank) {
  if (!agents_gone_.insert(rank).second) return;
  listener_.agent_gone(rank);
  check_left();
}

std::string LocalHands::agent_end(int rank) {
  if (!starter_) return "";
  const auto end = starter_->agent_end(rank);
  return end ? end->describe() : "";
}

void LocalHands::send(int rank, const protocol::LauncherMessage& message) {
  server_->send(rank, message);
}

void LocalHands::hold_starter() {
  if (starter_ && !left_) starter_->hold();
}

void LocalHands::children_changed() {
  check_starter();
  daemons_.reap();
  check_unconnected_agents();
  reap_strangers();
}

void LocalHands::check_starter() {
  if (starter_gone_ || !starter_) return;
  if (!starter_status_) starter_status_ = starter_->try_reap();
  // Without mpirun the starter is the agents, and each of them is heard of by itself.
  if (!starter_status_ || (kind_ == LocalStarter::kAgents && !left_)) return;
  starter_gone_ = true;
  listener_.starter_ended(node_rank_, *starter_status_);
  check_left();
}

// The kernel tells mpirun's children of its death a moment before mpirun can be reaped; what they
// do then must not be taken for their own failure.
void LocalHands::await_end_of_starter() {
  if (!starter_) return;
  const auto deadline = Clock::now() + kStarterEndWait;
  for (check_starter(); !starter_gone_ && Clock::now() < deadline; check_starter()) {
    muster::detail::pause_briefly();
  }
}

// An agent that ends before it has connected leaves no connection whose end would tell.
void LocalHands::check_unconnected_agents() {
  if (!starter_) return;
  for (const int rank : ranks_) {
    if (starter_->agent_has_ended(rank) && !server_->is_connected(rank)) agent_gone(rank);
  }
}

// An agent that is killed before it has connected, while mpirun still forks the others: mpirun
// notes it and goes on as if nothing was.  Then every agent that it has is here, and ranks are
// missing.
void LocalHands::check_missing_agents() {
  std::set<pid_t> arrived = server_->connected_agents();
  const bool news =
      arrived.empty() || arrived != arrived_agents_ || starter_->awaits_agent(arrived);
  arrived_agents_ = std::move(arrived);
  start_checks_without_news_ = news ? 0 : start_checks_without_news_ + 1;
  if (start_checks_without_news_ < kStartChecksWithoutNews) return;
  for (const int rank : ranks_) {
    if (!server_->is_connected(rank)) agent_gone(rank);
  }
}

void LocalHands::arm_start_check() {
  // The agents of several nodes are children of mpirun's daemons: nothing here knows of them.
  if (kind_ == LocalStarter::kMpirun && request_.plan.of_several_nodes()) return;
  start_check_ = loop_.at(Clock::now() + kStartCheckInterval, [this] {
    if (!listener_.awaits_ranks()) return;
    check_missing_agents();
    arm_start_check();
  });
}

void LocalHands::leave() {
  left_ = true;
  protocol::LauncherMessage message;
  message.mutable_leave();
  for (const int rank : server_->connected_ranks()) server_->send(rank, message);
  if (starter_) starter_->resume();
  if (request_.flow != nullptr) hold_streams();
  // Ranks that never started would otherwise keep their pipes open here.
  for (const auto& [rank, local] : local_) local.streams->close_write_ends();
  check_drained();
  check_starter();
  check_left();
}

void LocalHands::kill_starter() {
  if (starter_) starter_->kill();
}

void LocalHands::cut_streams(const std::string& why) {
  for (const auto& [rank, local] : local_) local.streams->cut(why);
}

// After leave(): once nobody of the run is connected, orphans of killed agents are all that can be
// left, and they may hold a rank's pipes.
void LocalHands::check_left() {
  if (!left_ || !server_->connected_ranks().empty()) return;
  listener_.agents_left(node_rank_);
  if (starter_gone_ || !starter_) sweep_strangers();
}

void LocalHands::check_drained() {
  if (drained_ || !left_) return;
  for (const auto& [rank, local] : local_) {
    if (!local.streams->ended()) return;
  }
  drained_ = true;
  listener_.drained(node_rank_);
}

bool LocalHands::is_stranger(pid_t pid) const {
  return !owned_by_starter(pid) && !daemons_.owns(pid) && !inherited_children_.contains(pid) &&
         !owned_by_others(pid) && !gpu_check_.owns(pid);
}

bool LocalHands::owned_by_others(pid_t pid) const {
  return (request_.companion != nullptr && request_.companion->owns(pid)) ||
         (request_.owned_by_follower && request_.owned_by_follower(pid));
}

// As a subreaper (or PID 1) we become the parent of every orphan that no living agent takes.  What
// was there before the run is nobody else's to reap either.
void LocalHands::reap_strangers() {
  for (const pid_t pid : children_of_this_process()) {
    if (owned_by_starter(pid) || owned_by_others(pid)) continue;
    if (daemons_.owns(pid) || gpu_check_.owns(pid)) continue;
    if (::waitpid(pid, nullptr, WNOHANG) == pid) inherited_children_.erase(pid);
  }
}

void LocalHands::sweep_strangers() {
  const int killed = kill_children_until_none([this](pid_t pid) { return !is_stranger(pid); },
                                              Clock::now() + kSweepDeadline);
  if (killed > 0)
    observer_.notice("ended " + counted(killed, "process") + " that ranks left behind");
}

// The ranks go on: what does not fit is a gap, and told at the end.
void LocalHands::disk_full(const std::string& stream, const std::string& why) {
  const bool is_first = full_streams_.empty();
  full_streams_.insert(stream);
  if (!is_first) return;
  request_.run_directory.release_urgent_reserve();
  observer_.disk_full(stream, why);
}

void LocalHands::disk_has_room(const std::string& stream) {
  full_streams_.erase(stream);
  if (!full_streams_.empty()) return;
  static_cast<void>(ledger_.flush());
  observer_.disk_has_room();
}

std::string LocalHands::record_streams(plan::RunOutcome& outcome) {
  std::string problem;
  for (const auto& [rank, local] : local_) {
    local.streams->finish_metrics();
    local.streams->record_ends(ledger_);
    for (plan::StreamGap& gap : local.streams->gaps()) outcome.gaps.push_back(std::move(gap));
    if (problem.empty()) problem = local.streams->problem();
  }
  if (!ledger_.flush()) {
    // On a full disk the record of the end and this share what was set aside.
    request_.run_directory.release_reserve();
    static_cast<void>(ledger_.flush());
  }
  return problem;
}

}  // namespace muster::exec
