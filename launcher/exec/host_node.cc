#include "launcher/exec/host_node.h"

#include <csignal>

#include "base/event_loop.h"
#include "base/exit_code.h"
#include "base/text.h"
#include "launcher/exec/local_hands.h"
#include "launcher/exec/rank_spec.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using protocol::HeadMessage;
using protocol::MemberMessage;
using protocol::NodeNews;
using protocol::NodeOrder;
using Clock = std::chrono::steady_clock;

constexpr auto kCompanionCheckInterval = 500ms;
// Once the head is gone: for agents that are being killed.
constexpr auto kLastPatience = 2s;

class Host final : public HandsListener {
 public:
  Host(const ExecutionRequest& request, link::MemberLink& link, RunObserver& observer)
      : request_(request),
        link_(link),
        observer_(observer),
        local_(loop_, request, observer, *this, request.plan.nodes.front().node_rank,
               request.plan.backend == config::Backend::kMpi ? LocalStarter::kOther
                                                             : LocalStarter::kAgents) {
    for (const plan::RankPlacement& rank : request.plan.ranks) {
      hosted_.outcome.ranks.push_back({.rank = rank.rank});
    }
  }

  Result<HostedRanks> run();

 private:
  bool accepts_ranks() const override { return !stopping_; }
  bool awaits_ranks() const override { return started_ < local_.ranks().size() && !stopping_; }
  void agent_connected(int rank) override;
  void agent_said(int rank, const protocol::AgentMessage& message) override;
  void agent_gone(int rank) override;
  void gpus_seen(int rank, const std::set<std::string>& uuids) override;
  void starter_ended(int node_rank, const ExitStatus& status) override;
  void agents_left(int node_rank) override;
  void drained(int node_rank) override;
  // mpirun is the head's: nobody here may want a daemon.
  void daemon_wanted(int helper, const protocol::DaemonWanted& wanted) override;
  void helper_gone(int) override {}
  void daemon_ended(int id, int wait_status) override;
  void start_daemon(const protocol::StartDaemon& wanted);

  void read_signals();
  void read_stop_requests();
  void read_link();
  void carry_out(const HeadMessage& message);
  void carry_out(const protocol::RankOrder& order);
  void carry_out(const NodeOrder& order);
  void sample(std::uint64_t number);
  void head_lost(Error why);
  void ask_stop(int signal_number, const std::string& by);
  void ask_stop(const Error& error, const std::string& how);
  void check_companion();
  void arm_companion_check();
  void arm_tick();
  void say(NodeNews::What what);
  void finish_if_alone();
  plan::RankOutcome& outcome_of(int rank) {
    return hosted_.outcome.ranks[request_.plan.rank_index(rank)];
  }

  const ExecutionRequest& request_;
  link::MemberLink& link_;
  RunObserver& observer_;
  EventLoop loop_;
  HostedRanks hosted_;
  LocalHands local_;
  EventLoop::Watch signal_watch_;
  EventLoop::Watch stop_watch_;
  EventLoop::Watch link_watch_;
  EventLoop::Watch companion_check_;
  EventLoop::Watch tick_;
  EventLoop::Watch last_;
  std::size_t started_ = 0;
  bool stopping_ = false;
  bool left_ = false;  // LEAVE was carried out
  bool agents_left_ = false;
  bool drained_ = false;
  bool companion_failed_ = false;
  bool is_over_ = false;
};

Result<HostedRanks> Host::run() {
  hosted_.outcome.started_at = std::chrono::system_clock::now();
  MUSTER_TRY(local_.start());
  signal_watch_ = loop_.on_readable(request_.signals.get(), [this] { read_signals(); });
  if (request_.control != nullptr) {
    stop_watch_ = loop_.on_readable(request_.control->stop_fd(), [this] { read_stop_requests(); });
  }
  link_watch_ = loop_.on_readable(link_.fd(), [this] { read_link(); });
  if (request_.companion != nullptr) arm_companion_check();
  if (observer_.wants_ticks()) arm_tick();
  loop_.post([this] { read_link(); });
  loop_.run();
  local_.end_daemons();
  local_.sweep_strangers();
  if (!drained_) static_cast<void>(local_.record_streams(hosted_.outcome));
  local_.end_driver_logs(hosted_.outcome);
  hosted_.outcome.ended_at = std::chrono::system_clock::now();
  return std::move(hosted_);
}

void Host::agent_connected(int rank) {
  MemberMessage message;
  message.mutable_rank()->set_rank(rank);
  message.mutable_rank()->set_connected(true);
  link_.send(std::move(message));
}

void Host::agent_said(int rank, const protocol::AgentMessage& said) {
  plan::RankOutcome& outcome = outcome_of(rank);
  if (said.has_started()) {
    ++started_;
    outcome = with_start(outcome, said.started(), request_.plan.rank(rank));
    observer_.rank_started(outcome, static_cast<int>(started_),
                           static_cast<int>(local_.ranks().size()));
  } else if (said.has_ended()) {
    outcome = with_end(outcome, said.ended());
    observer_.rank_ended(outcome, 0);
  }
  MemberMessage message;
  message.mutable_rank()->set_rank(rank);
  *message.mutable_rank()->mutable_said() = said;
  link_.send(std::move(message));
}

void Host::agent_gone(int rank) {
  MemberMessage message;
  message.mutable_rank()->set_rank(rank);
  // After its rank's end nobody asks how; else its parent is a moment behind its socket.
  message.mutable_rank()->set_gone(outcome_of(rank).ended_at ? "" : local_.agent_end(rank));
  link_.send(std::move(message));
}

void Host::gpus_seen(int rank, const std::set<std::string>& uuids) {
  MemberMessage message;
  message.mutable_rank()->set_rank(rank);
  auto& gpus = *message.mutable_rank()->mutable_gpus();
  for (const std::string& uuid : uuids) gpus.add_uuids(uuid);
  link_.send(std::move(message));
}

void Host::say(NodeNews::What what) {
  MemberMessage message;
  message.mutable_node()->set_what(what);
  link_.send(std::move(message));
}

void Host::starter_ended(int, const ExitStatus&) {
  say(NodeNews::STARTER_ENDED);
}

void Host::agents_left(int) {
  if (agents_left_) return;
  agents_left_ = true;
  // Of a daemon's ranks nothing here is told of the daemon's end.
  if (request_.plan.backend == config::Backend::kMpi) local_.sweep_strangers();
  say(NodeNews::AGENTS_LEFT);
  finish_if_alone();
}

void Host::drained(int) {
  drained_ = true;
  const std::string problem = local_.record_streams(hosted_.outcome);
  MemberMessage message;
  NodeNews& news = *message.mutable_node();
  news.set_what(NodeNews::DRAINED);
  news.set_problem(problem);
  for (const plan::StreamGap& gap : hosted_.outcome.gaps) {
    protocol::GapNews& each = *news.add_gaps();
    each.set_stream(gap.stream);
    each.set_from(gap.offset);
    if (gap.length) each.set_to(gap.offset + *gap.length);
    each.set_reason(gap.reason);
  }
  link_.send(std::move(message));
  finish_if_alone();
}

void Host::daemon_wanted(int helper, const protocol::DaemonWanted&) {
  protocol::DaemonNews news;
  news.set_what(protocol::DaemonNews::REFUSED);
  news.set_why("this node is not the one that mpirun runs on");
  local_.answer(helper, news);
}

void Host::daemon_ended(int id, int wait_status) {
  MemberMessage message;
  message.mutable_daemon()->set_id(static_cast<std::uint32_t>(id));
  message.mutable_daemon()->set_status(wait_status);
  link_.send(std::move(message));
}

void Host::start_daemon(const protocol::StartDaemon& wanted) {
  MemberMessage message;
  protocol::DaemonEnded& news = *message.mutable_daemon();
  news.set_id(wanted.id());
  const Result<> started = [&]() -> Result<> {
    if (stopping_) return fail(ErrorCode::kInternal, "the run is being stopped");
    return local_.start_daemon(static_cast<int>(wanted.id()), wanted.command());
  }();
  if (started) {
    news.set_running(true);
  } else {
    news.set_problem(started.error().message);
  }
  link_.send(std::move(message));
}

void Host::read_signals() {
  while (const auto info = request_.signals.read()) {
    const int signal_number = static_cast<int>(info->ssi_signo);
    if (signal_number == SIGCHLD) {
      local_.children_changed();
      check_companion();
    } else if (signal_number == SIGUSR1 || signal_number == SIGUSR2) {
      MemberMessage message;
      message.mutable_signal()->set_signal_number(signal_number);
      link_.send(std::move(message));
    } else if (signal_number == SIGTSTP) {
      observer_.notice("Ctrl-Z is for the head: nothing stands still here");
    } else if (signal_number == SIGWINCH) {
      observer_.terminal_resized();
    } else if (signal_number != SIGTTOU && signal_number != SIGTTIN) {
      ask_stop(signal_number, signal_name(signal_number));
    }
  }
}

void Host::read_stop_requests() {
  for (const StopRequest& request : request_.control->take_stop_requests()) {
    ask_stop(SIGTERM, request.by);
    if (request.now) ask_stop(SIGTERM, request.by);
  }
}

// The head decides; here only nothing new begins.
void Host::ask_stop(int signal_number, const std::string& by) {
  stopping_ = true;
  MemberMessage message;
  message.mutable_stop()->set_signal_number(signal_number);
  message.mutable_stop()->set_by(by + " at " + request_.plan.nodes.front().hostname);
  link_.send(std::move(message));
}

void Host::ask_stop(const Error& error, const std::string& how) {
  stopping_ = true;
  MemberMessage message;
  message.mutable_stop()->set_how(how);
  message.mutable_stop()->set_by(request_.plan.nodes.front().hostname + ": " + error.message);
  message.mutable_stop()->set_exit_code(to_int(exit_code_for(error.code)));
  link_.send(std::move(message));
}

void Host::check_companion() {
  if (request_.companion == nullptr || companion_failed_) return;
  const auto checked = request_.companion->check();
  if (checked) return;
  companion_failed_ = true;
  ask_stop(checked.error(), "data");
}

void Host::arm_companion_check() {
  companion_check_ = loop_.at(Clock::now() + kCompanionCheckInterval, [this] {
    check_companion();
    arm_companion_check();
  });
}

void Host::arm_tick() {
  tick_ = loop_.at(Clock::now() + 1s, [this] {
    observer_.tick();
    arm_tick();
  });
}

void Host::read_link() {
  // What follows the order to store is for whoever stores.
  while (!is_over_) {
    const auto event = link_.next();
    if (!event) break;
    if (event->what == link::MemberEvent::What::kFailed) {
      head_lost(event->error.value_or(Error{}));
    } else if (event->what == link::MemberEvent::What::kMessage) {
      carry_out(event->message);
    }
  }
}

void Host::carry_out(const HeadMessage& message) {
  switch (message.message_case()) {
    case HeadMessage::kRanks: carry_out(message.ranks()); break;
    case HeadMessage::kNode: carry_out(message.node()); break;
    case HeadMessage::kStartDaemon: start_daemon(message.start_daemon()); break;
    case HeadMessage::kEndDaemon:
      local_.end_daemon(static_cast<int>(message.end_daemon().id()));
      break;
    case HeadMessage::kSample: sample(message.sample().number()); break;
    case HeadMessage::kPhase: observer_.notice(in_words(message.phase())); break;
    case HeadMessage::kEnd:
      // Before everything was stored: it waits for nobody here.
      hosted_.end = message.end();
      head_lost(Error{ErrorCode::kInternal, "the head has ended the run", "", std::nullopt});
      break;
    default: break;
  }
}

void Host::sample(std::uint64_t number) {
  if (request_.control == nullptr) return;
  request_.control->sample_for(number, [&link = link_](protocol::RanksSampled sampled) {
    MemberMessage message;
    *message.mutable_sampled() = std::move(sampled);
    link.send(std::move(message));
  });
}

void Host::carry_out(const protocol::RankOrder& order) {
  protocol::LauncherMessage message;
  if (order.has_signal_number()) {
    message.mutable_signal()->set_signal_number(order.signal_number());
  } else {
    message.mutable_kill();
  }
  for (const int rank : order.ranks()) {
    if (request_.plan.has_rank(rank)) local_.send(rank, message);
  }
}

void Host::carry_out(const NodeOrder& order) {
  switch (order.what()) {
    case NodeOrder::NO_MORE_RANKS: stopping_ = true; break;
    case NodeOrder::LEAVE:
      if (left_) break;
      left_ = true;
      observer_.draining();
      local_.leave();
      break;
    case NodeOrder::KILL_STARTER: local_.kill_starter(); break;
    case NodeOrder::CUT_STREAMS: local_.cut_streams(order.why()); break;
    case NodeOrder::STORE:
      is_over_ = true;
      loop_.stop();
      break;
    default: break;
  }
}

// Nobody is left who could say when ranks may end: they end now.
void Host::head_lost(Error why) {
  if (hosted_.head_lost) return;
  hosted_.head_lost = true;
  hosted_.why_head_lost = std::move(why);
  stopping_ = true;
  observer_.killing(local_.connected_ranks().size());
  protocol::LauncherMessage kill;
  kill.mutable_kill();
  for (const int rank : local_.connected_ranks()) local_.send(rank, kill);
  if (!left_) {
    left_ = true;
    local_.leave();
  }
  last_ = loop_.at(Clock::now() + kLastPatience, [this] {
    local_.kill_starter();
    local_.end_daemons();
    local_.sweep_strangers();
    local_.cut_streams("the head was lost");
    loop_.stop();
  });
  finish_if_alone();
}

void Host::finish_if_alone() {
  if (hosted_.head_lost && agents_left_ && drained_) loop_.stop();
}

}  // namespace

std::string in_words(const protocol::PhaseNews& news) {
  const std::string why = without_controls(news.why());
  return "run " + without_controls(news.phase()) + (why.empty() ? "" : ": " + why);
}

Result<HostedRanks> host_node(const ExecutionRequest& request, link::MemberLink& link,
                              RunObserver& observer) {
  return Host(request, link, observer).run();
}

}  // namespace muster::exec
