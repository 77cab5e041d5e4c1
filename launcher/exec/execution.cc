// Execution joins the nodes' hands and the Supervision state machine: what happens goes in, its
// actions are handed to the nodes, and nothing here decides how a run ends.

#include "launcher/exec/execution.h"

#include <csignal>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "base/event_loop.h"
#include "base/exit_code.h"
#include "base/text.h"
#include "launcher/cluster/first_failure.h"
#include "launcher/exec/failure_evidence.h"
#include "launcher/exec/local_hands.h"
#include "launcher/exec/mpi_worlds.h"
#include "launcher/exec/rank_spec.h"
#include "launcher/exec/placement_looks.h"
#include "launcher/exec/remote_hands.h"
#include "launcher/exec/supervision.h"
#include "launcher/link/head_link.h"
#include "launcher/plan/placement_check.h"
#include "protocol/daemon_command.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using plan::RankEnd;
using plan::RankOutcome;
using Clock = std::chrono::steady_clock;

// mpirun takes 12 ms to remove its session and to end; we remove the session anyway.
constexpr auto kMpirunPatienceAfterSuccess = 0ms;
constexpr auto kAgentsPatience = 200ms;
constexpr auto kCompanionCheckInterval = 500ms;
constexpr auto kSameNotice = 2s;      // a signal to all launchers comes within
constexpr auto kClockNotKnown = 24h;  // of a node that has not answered yet

class Execution : public HandsListener, public NodeChannel {
 public:
  Execution(const ExecutionRequest& request, RunObserver& observer)
      : request_(request),
        observer_(observer),
        supervision_(request.plan.world_size, request.plan.limits, Clock::now(),
                     request.plan.mpirun ? kMpirunPatienceAfterSuccess : kAgentsPatience,
                     plan::servers(request.plan)),
        local_(loop_, request, observer, *this, 0,
               request.plan.mpirun ? LocalStarter::kMpirun : LocalStarter::kAgents) {
    nodes_.push_back(&local_);
    for (std::size_t node = 1; node < request.plan.nodes.size(); ++node) {
      std::vector<int> ranks(static_cast<std::size_t>(request.plan.nodes[node].rank_count));
      std::iota(ranks.begin(), ranks.end(), request.plan.nodes[node].first_rank);
      remote_.push_back(std::make_unique<RemoteHands>(*this, *this, static_cast<int>(node), ranks));
      nodes_.push_back(remote_.back().get());
    }
  }

  Result<plan::RunOutcome> run();

 private:
  bool accepts_ranks() const override { return supervision_.accepts_ranks(); }
  bool awaits_ranks() const override { return supervision_.starting(); }
  void agent_connected(int rank) override { supervision_.rank_assigned(rank); }
  void agent_said(int rank, const protocol::AgentMessage& message) override;
  void agent_gone(int rank) override;
  void gpus_seen(int rank, const std::set<std::string>& uuids) override;
  void starter_ended(int node_rank, const ExitStatus& status) override;
  void agents_left(int node_rank) override;
  void drained(int node_rank) override;
  void daemon_wanted(int helper, const protocol::DaemonWanted& wanted) override;
  void helper_gone(int helper) override;
  void daemon_ended(int id, int wait_status) override;

  void training_started(int rank, const protocol::TrainingStarted& started);
  void training_ended(int rank, const protocol::TrainingEnded& ended);
  void agent_signalled(int rank, const protocol::AgentSignalled& signalled);
  void placement_seen(int rank, const protocol::PlacementSeen& seen);
  void note_differences(int rank, const std::vector<std::string>& differences);
  void note_clock_error(int rank);
  void doubt_first_failure(plan::RunOutcome& outcome) const;

  // To and from the other nodes.
  void send(int node_rank, protocol::HeadMessage message) override;
  std::chrono::nanoseconds clock_of(int node_rank) const override;
  void read_head_link();
  void member_said(int node_rank, const protocol::MemberMessage& message);
  void node_lost(int node_rank, const std::string& why);
  void daemon_news(int node_rank, const protocol::DaemonEnded& told);
  void tell_helper(int helper, protocol::DaemonNews::What what, const std::string& why = "",
                   int status = 0);
  RemoteHands* remote(int node_rank);
  bool is_the_same_stop(int node_rank, const std::string& by);
  void pass_on(int node_rank, int signal_number);

  void watch();
  void read_signals();
  void suspend();
  void read_stop_requests();
  void muster_failed(const std::string& how, const Error& error);
  void check_companion();
  void arm_companion_check();

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
  NodeHands& node_of(int rank) {
    return *nodes_[static_cast<std::size_t>(request_.plan.rank(rank).node_rank)];
  }
  std::vector<int> connected_ranks() const;
  void signal(const std::vector<int>& ranks, int signal_number);
  void record_streams(plan::RunOutcome& outcome);

  const ExecutionRequest& request_;
  RunObserver& observer_;
  EventLoop loop_;
  Supervision supervision_;
  LocalHands local_;
  std::vector<std::unique_ptr<RemoteHands>> remote_;  // of node ranks 1 and up
  std::vector<NodeHands*> nodes_;                     // all, by node rank
  EventLoop::Watch signal_watch_;
  EventLoop::Watch stop_watch_;
  EventLoop::Watch head_watch_;
  EventLoop::Watch timer_;
  EventLoop::Watch tick_;
  EventLoop::Watch companion_check_;
  std::map<int, protocol::RankEvidence> evidence_;  // of ranks that failed
  // Of the times at which ranks of other nodes ended, by this node's clock.
  std::map<int, std::chrono::nanoseconds> clock_errors_;
  std::map<int, int> helpers_;    // that wait for a daemon → its node rank
  std::set<int> starters_ended_;  // node ranks
  std::set<int> asked_to_stop_;   // node ranks whose launchers were
  std::set<int> nodes_left_;
  std::set<int> nodes_drained_;
  struct Notice {
    Clock::time_point began = {};
    std::set<int> nodes = {};  // node ranks whose launchers got it since
  };
  std::map<int, Notice> notices_;  // by signal
  bool servers_told_ = false;
  bool lost_a_node_ = false;
  bool companion_failed_ = false;
  bool left_ = false;
  bool is_over_ = false;
};

Result<plan::RunOutcome> Execution::run() {
  const auto started_at = std::chrono::system_clock::now();
  MUSTER_TRY(local_.start());
  watch();
  loop_.run();

  local_.end_daemons();
  local_.sweep_strangers();
  plan::RunOutcome outcome = supervision_.outcome();
  doubt_first_failure(outcome);
  record_streams(outcome);
  explain_failures(request_.run_directory, request_.attempt, evidence_, outcome);
  outcome.warnings = find_separate_worlds(request_.plan, outcome.ranks);
  local_.end_driver_logs(outcome);
  outcome.started_at = started_at;
  outcome.ended_at = std::chrono::system_clock::now();
  return outcome;
}

// Of a rank that has just ended, whose times were made this node's.
void Execution::note_clock_error(int rank) {
  const int node_rank = request_.plan.rank(rank).node_rank;
  if (node_rank == 0) return;
  const auto clock = request_.head->clock_of(node_rank);
  clock_errors_[rank] = clock ? clock->bound : kClockNotKnown;
}

// Ranks of several nodes may fail closer together than their clocks are known.
void Execution::doubt_first_failure(plan::RunOutcome& outcome) const {
  if (!outcome.first_failure || !outcome.first_failure->rank) return;
  std::vector<cluster::FailedRank> found;
  for (const RankOutcome& rank : outcome.ranks) {
    if (!failed(rank) || !rank.ended_at) continue;
    const auto error = clock_errors_.find(rank.rank);
    found.push_back({rank.rank, request_.plan.rank(rank.rank).node_rank, *rank.ended_at,
                     error == clock_errors_.end() ? 0ns : error->second});
  }
  const cluster::FirstFailed first = cluster::first_failed(found);
  if (first.ranks.size() < 2) return;
  outcome.first_failure->candidates = first.ranks;
  outcome.first_failure->doubt = cluster::in_words(first);
}

void Execution::watch() {
  signal_watch_ = loop_.on_readable(request_.signals.get(), [this] { read_signals(); });
  if (request_.control != nullptr) {
    stop_watch_ = loop_.on_readable(request_.control->stop_fd(), [this] { read_stop_requests(); });
  }
  if (request_.head != nullptr) {
    head_watch_ = loop_.on_readable(request_.head->fd(), [this] { read_head_link(); });
    loop_.post([this] { read_head_link(); });  // of what came before
  }
  arm_timer();
  if (request_.companion != nullptr) arm_companion_check();
  if (observer_.wants_ticks()) arm_tick();
}

void Execution::agent_said(int rank, const protocol::AgentMessage& message) {
  using protocol::AgentMessage;
  switch (message.message_case()) {
    case AgentMessage::kStarted: training_started(rank, message.started()); break;
    case AgentMessage::kEnded: training_ended(rank, message.ended()); break;
    case AgentMessage::kQuiet: apply(supervision_.rank_quiet(rank, Clock::now())); break;
    case AgentMessage::kSignalled: agent_signalled(rank, message.signalled()); break;
    case AgentMessage::kMpiLibrary:
      supervision_.note_mpi_library(rank, message.mpi_library().file_name());
      break;
    case AgentMessage::kPlacement: placement_seen(rank, message.placement()); break;
    case AgentMessage::kEvidence: evidence_[rank] = message.evidence(); break;
    case AgentMessage::kParentGone: local_.await_end_of_starter(); break;
    default: break;
  }
}

void Execution::training_started(int rank, const protocol::TrainingStarted& started) {
  const RankOutcome outcome =
      with_start(supervision_.rank(rank), started, request_.plan.rank(rank));
  const Actions actions = supervision_.rank_started(outcome, Clock::now());
  observer_.rank_started(outcome, supervision_.running_count(), world_size());
  if (!outcome.placement_differences.empty()) {
    observer_.placement_differs(rank, outcome.placement_differences);
  }
  apply(actions);
}

void Execution::agent_signalled(int rank, const protocol::AgentSignalled& signalled) {
  observer_.notice("the agent of rank " + std::to_string(rank) + " got " +
                   signal_name(signalled.signal_number()) + " from process " +
                   std::to_string(signalled.sender_pid()));
  // From anybody else than mpirun it is no word about the run.
  if (!request_.plan.mpirun || !signalled.from_parent()) return;
  // Else it would kill the agents now, and the ranks with them, in the middle of their grace.
  if (!request_.plan.mpirun->patient) local_.hold_starter();
  apply(supervision_.agent_signalled(rank, signalled.signal_number(), Clock::now()));
}

void Execution::placement_seen(int rank, const protocol::PlacementSeen& seen) {
  const RankOutcome& outcome = supervision_.rank(rank);
  supervision_.note_placement(rank, placement_of(seen));
  note_differences(rank, differences_later(request_, outcome, seen));
}

void Execution::gpus_seen(int rank, const std::set<std::string>& uuids) {
  supervision_.note_gpus(rank, {uuids.begin(), uuids.end()});
  note_differences(rank, plan::differences_of_gpus(request_.plan.ranks, rank, uuids));
}

void Execution::note_differences(int rank, const std::vector<std::string>& differences) {
  const auto added = supervision_.note_placement_differences(rank, differences);
  if (!added.empty()) observer_.placement_differs(rank, added);
}

void Execution::training_ended(int rank, const protocol::TrainingEnded& ended) {
  // mpirun's death comes before the ends that it causes, whatever order the loop reads them in.
  local_.check_starter();
  note_clock_error(rank);
  const RankOutcome outcome = with_end(supervision_.rank(rank), ended);
  const std::string how =
      outcome.end == RankEnd::kExecFailed ? outcome.exec_failure : outcome.status.describe();
  feed(
      [&] {
        const auto error = clock_errors_.find(rank);
        Actions actions =
            supervision_.rank_ended(outcome, ended.by_agent(), Clock::now(),
                                    error == clock_errors_.end() ? 0ns : error->second);
        observer_.rank_ended(supervision_.rank(rank), supervision_.running_count());
        return actions;
      },
      "rank " + std::to_string(rank) + " " + how);
}

void Execution::agent_gone(int rank) {
  local_.check_starter();
  if (!supervision_.rank(rank).ended_at) note_clock_error(rank);
  feed(
      [&] {
        Actions actions = supervision_.agent_gone(rank, Clock::now());
        if (supervision_.rank(rank).end == RankEnd::kAgentLost) {
          supervision_.note_agent_end(rank, node_of(rank).agent_end(rank));
          observer_.rank_ended(supervision_.rank(rank), supervision_.running_count());
        }
        return actions;
      },
      "the agent of rank " + std::to_string(rank) + " ended");
}

// mpirun is one for all; without it every node has its own, and the last counts.
void Execution::starter_ended(int node_rank, const ExitStatus& status) {
  const bool mpi = request_.plan.mpirun.has_value();
  const std::string how = "mpirun " + status.describe();
  if (mpi) observer_.notice(how);
  starters_ended_.insert(node_rank);
  if (!mpi && starters_ended_.size() < nodes_.size()) return;
  feed([&] { return supervision_.starter_ended(status, Clock::now()); }, how);
}

void Execution::agents_left(int node_rank) {
  nodes_left_.insert(node_rank);
  if (nodes_left_.size() == nodes_.size()) apply(supervision_.all_agents_left(Clock::now()));
}

void Execution::drained(int node_rank) {
  nodes_drained_.insert(node_rank);
  if (nodes_drained_.size() == nodes_.size()) apply(supervision_.streams_drained(Clock::now()));
}

void Execution::send(int node_rank, protocol::HeadMessage message) {
  request_.head->send(node_rank, std::move(message));
}

std::chrono::nanoseconds Execution::clock_of(int node_rank) const {
  const auto clock = request_.head->clock_of(node_rank);
  return clock ? clock->offset : std::chrono::nanoseconds(0);
}

RemoteHands* Execution::remote(int node_rank) {
  const auto index = static_cast<std::size_t>(node_rank - 1);
  return node_rank >= 1 && index < remote_.size() ? remote_[index].get() : nullptr;
}

void Execution::read_head_link() {
  using What = cluster::HeadAction::What;
  // What follows the end of the ranks is for whoever stores what they wrote.
  while (!is_over_) {
    const auto each = request_.head->next();
    if (!each) break;
    switch (each->what) {
      case What::kMessage: member_said(each->node_rank, each->received); break;
      case What::kSuspect: observer_.node_suspect(each->node_rank, each->text); break;
      case What::kWakes: observer_.node_wakes(each->node_rank, each->text); break;
      case What::kLost: node_lost(each->node_rank, each->text); break;
      case What::kRefused: observer_.notice(each->text); break;
      default: break;
    }
  }
}

void Execution::member_said(int node_rank, const protocol::MemberMessage& message) {
  RemoteHands* const hands = remote(node_rank);
  if (hands == nullptr || hands->is_lost()) return;
  if (message.has_rank()) hands->take(message.rank());
  if (message.has_node()) hands->take(message.node());
  if (message.has_daemon()) daemon_news(node_rank, message.daemon());
  if (message.has_sampled()) observer_.ranks_sampled(node_rank, message.sampled());
  if (message.has_signal()) pass_on(node_rank, message.signal().signal_number());
  if (!message.has_stop()) return;
  const protocol::AskStop& asked = message.stop();
  const std::string by = without_controls(asked.by());
  if (asked.signal_number() == 0) {
    plan::FirstFailure failure;
    failure.origin = plan::FailureOrigin::kMuster;
    failure.how = without_controls(asked.how());
    failure.description = by;
    feed([&] { return supervision_.muster_failed(failure, asked.exit_code(), Clock::now()); }, by);
    return;
  }
  if (is_the_same_stop(node_rank, by)) return;
  if (supervision_.stopping()) observer_.notice("asked to stop again by " + by);
  feed([&] { return supervision_.stop_requested(asked.signal_number(), Clock::now(), by); }, by);
}

// A scheduler that ends a job tells every launcher: that is one stop, and nobody asked for haste.
// Whoever asks twice at one node did.
bool Execution::is_the_same_stop(int node_rank, const std::string& by) {
  const bool others_asked = !asked_to_stop_.empty();
  const bool first_of_node = asked_to_stop_.insert(node_rank).second;
  if (!others_asked || !first_of_node) return false;
  observer_.notice("asked to stop by " + by + ", too");
  return true;
}

// Of SIGUSR1 and SIGUSR2, which mean what the ranks make of them: a notice of preemption, say.
// A scheduler that tells every launcher means one.
void Execution::pass_on(int node_rank, int signal_number) {
  if (signal_number != SIGUSR1 && signal_number != SIGUSR2) return;
  Notice& notice = notices_[signal_number];
  const bool is_new =
      Clock::now() - notice.began >= kSameNotice || notice.nodes.contains(node_rank);
  if (is_new) notice = {Clock::now(), {}};
  notice.nodes.insert(node_rank);
  if (is_new) signal(connected_ranks(), signal_number);
}

void Execution::tell_helper(int helper, protocol::DaemonNews::What what, const std::string& why,
                            int status) {
  protocol::DaemonNews news;
  news.set_what(what);
  news.set_why(why);
  news.set_status(status);
  local_.answer(helper, news);
}

// mpirun has one for each node, this one included, and takes its end for the daemon's.
void Execution::daemon_wanted(int helper, const protocol::DaemonWanted& wanted) {
  using protocol::DaemonNews;
  const auto node = protocol::node_rank_of_mpi_name(wanted.node());
  if (!node || *node < 0 || *node >= static_cast<int>(nodes_.size())) {
    return tell_helper(helper, DaemonNews::REFUSED,
                       node ? "the run has no such node" : node.error().message);
  }
  if (const auto command = protocol::parse_daemon_command(wanted.command()); !command) {
    return tell_helper(helper, DaemonNews::REFUSED, command.error().message);
  }
  if (!supervision_.accepts_ranks()) {
    return tell_helper(helper, DaemonNews::REFUSED, "the run is being stopped");
  }
  if (*node == 0) {
    if (const auto started = local_.start_daemon(helper, wanted.command()); !started) {
      return tell_helper(helper, DaemonNews::REFUSED, started.error().message);
    }
    helpers_[helper] = 0;
    tell_helper(helper, DaemonNews::TAKEN);
    return tell_helper(helper, DaemonNews::RUNNING);
  }
  if (remote(*node)->is_lost()) return tell_helper(helper, DaemonNews::LOST, "its node is gone");
  helpers_[helper] = *node;
  protocol::HeadMessage message;
  message.mutable_start_daemon()->set_id(static_cast<std::uint32_t>(helper));
  message.mutable_start_daemon()->set_command(wanted.command());
  send(*node, std::move(message));
  tell_helper(helper, DaemonNews::TAKEN);
}

void Execution::helper_gone(int helper) {
  const auto found = helpers_.find(helper);
  if (found == helpers_.end()) return;
  const int node = found->second;
  helpers_.erase(found);
  if (node == 0) return local_.end_daemon(helper);
  protocol::HeadMessage message;
  message.mutable_end_daemon()->set_id(static_cast<std::uint32_t>(helper));
  send(node, std::move(message));
}

void Execution::daemon_ended(int id, int wait_status) {
  if (helpers_.erase(id) > 0) tell_helper(id, protocol::DaemonNews::ENDED, "", wait_status);
}

void Execution::daemon_news(int node_rank, const protocol::DaemonEnded& told) {
  const int helper = static_cast<int>(told.id());
  const auto found = helpers_.find(helper);
  if (found == helpers_.end() || found->second != node_rank) return;
  if (told.running()) return tell_helper(helper, protocol::DaemonNews::RUNNING);
  helpers_.erase(found);
  if (!told.problem().empty()) {
    return tell_helper(helper, protocol::DaemonNews::REFUSED, told.problem());
  }
  tell_helper(helper, protocol::DaemonNews::ENDED, "", told.status());
}

// The node is the failure, and not that its ranks are gone with it.
void Execution::node_lost(int node_rank, const std::string& why) {
  RemoteHands* const hands = remote(node_rank);
  if (hands == nullptr || hands->is_lost()) return;
  lost_a_node_ = true;
  observer_.node_lost(node_rank, why);
  plan::FirstFailure failure;
  failure.origin = plan::FailureOrigin::kMuster;
  failure.how = "node_lost";
  failure.value = node_rank;
  failure.description = why;
  feed(
      [&] {
        return supervision_.muster_failed(failure, to_int(ExitCode::kNodeLost), Clock::now());
      },
      why);
  hands->lost(why);
}

std::vector<int> Execution::connected_ranks() const {
  std::vector<int> ranks;
  for (const NodeHands* node : nodes_) {
    const std::vector<int> more = node->connected_ranks();
    ranks.insert(ranks.end(), more.begin(), more.end());
  }
  return ranks;
}

void Execution::read_signals() {
  while (const auto info = request_.signals.read()) {
    const int signal_number = static_cast<int>(info->ssi_signo);
    if (signal_number == SIGCHLD) {
      local_.children_changed();
      check_companion();
    } else if (signal_number == SIGUSR1 || signal_number == SIGUSR2) {
      pass_on(0, signal_number);
    } else if (signal_number == SIGTSTP) {
      suspend();
    } else if (signal_number == SIGWINCH) {
      observer_.terminal_resized();
    } else if (signal_number == SIGTTOU || signal_number == SIGTTIN) {
      // Blocked, so that a terminal which is not ours at the moment cannot stop us.
    } else {
      const std::string name = signal_name(signal_number);
      if (is_the_same_stop(0, name)) continue;
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
  signal(connected_ranks(), SIGSTOP);
  observer_.suspending();
  stop_this_process();
  supervision_.stood_still(Clock::now() - began);
  signal(connected_ranks(), SIGCONT);
  observer_.resumed();
  arm_timer();
}

// As SIGTERM does, by name; "now" is such a request and the next at once.
void Execution::read_stop_requests() {
  for (const StopRequest& request : request_.control->take_stop_requests()) {
    const auto stop = [&] {
      return supervision_.stop_requested(SIGTERM, Clock::now(), request.by);
    };
    if (!request.now && is_the_same_stop(0, request.by)) continue;
    const bool again = supervision_.stopping();
    if (again) observer_.notice("asked to stop again by " + request.by + ": no more grace");
    feed(stop, request.by);
    if (request.now && !again && !left_) feed(stop, request.by);
  }
}

// What every stream has in the end.  Missing bytes make a run that succeeded a failed one.
void Execution::record_streams(plan::RunOutcome& outcome) {
  std::string problem = local_.record_streams(outcome);
  for (const auto& each : remote_) {
    outcome.gaps.insert(outcome.gaps.end(), each->gaps().begin(), each->gaps().end());
    if (problem.empty() && !each->problem().empty()) {
      const auto node = static_cast<std::size_t>(each->node_rank());
      problem = request_.plan.nodes[node].hostname + ": " + each->problem();
    }
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
    for (const auto& each : remote_) each->accept_no_more();
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

void Execution::signal(const std::vector<int>& ranks, int signal_number) {
  protocol::LauncherMessage message;
  message.mutable_signal()->set_signal_number(signal_number);
  for (const int rank : ranks) node_of(rank).send(rank, message);
}

void Execution::carry_out(const SignalRanks& action) {
  signal(action.ranks, action.signal_number);
}

void Execution::carry_out(const KillRanks& action) {
  observer_.killing(action.ranks.size());
  protocol::LauncherMessage message;
  message.mutable_kill();
  for (const int rank : action.ranks) node_of(rank).send(rank, message);
}

void Execution::carry_out(const LeaveAgents&) {
  left_ = true;
  observer_.draining();
  for (NodeHands* node : nodes_) node->leave();
  // It does not notice that a network is silent, and would wait for that node for ever.
  if (lost_a_node_) local_.kill_starter();
}

void Execution::carry_out(const KillStarter&) {
  observer_.notice("its agents have left: mpirun is ended");
  for (NodeHands* node : nodes_) node->kill_starter();
}

void Execution::carry_out(const CutStreams& action) {
  for (NodeHands* node : nodes_) {
    node->cut_streams(action.why + ": a process outside the run still holds it");
  }
}

void Execution::carry_out(const Finish&) {
  is_over_ = true;
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
