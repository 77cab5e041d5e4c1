#include "launcher/exec/run_control.h"

#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/signals.h"
#include "launcher/exec/process_sample.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using protocol::RankStatus;
using protocol::RunState;

// A hundred clients that ask at once get one answer.
constexpr auto kSampleLasts = 100ms;
// A client that watches and reads slowly has this long to take the end.
constexpr auto kFinishPatience = 500ms;
constexpr auto kFinishInterval = 5ms;
// For other nodes to say how their ranks fare: a round trip, and a look at all of a node's
// processes.
constexpr auto kNodesPatience = 250ms;
constexpr int kMaxThreads = 4096;  // looked at for one answer, of all ranks together

std::int64_t nanoseconds(plan::WallTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::int64_t nanoseconds_now() {
  return nanoseconds(std::chrono::system_clock::now());
}

// "anna", or "1000" where nobody has a name for it.
std::string user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::string buffer(1 << 14, '\0');
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return std::to_string(uid);
}

// The launcher is the only writer and appends only: what the file holds is what was stored, and its
// time is that of the last byte.
std::uint64_t look_at_stream(const std::filesystem::path& file, std::int64_t& last_output_at) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0 || info.st_size == 0) return 0;
  const std::int64_t at = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  last_output_at = std::max(last_output_at, at);
  return static_cast<std::uint64_t>(info.st_size);
}

void add_process(const ProcessTable& processes, int threads_per_rank, RankStatus& rank) {
  const ProcessSample* process = processes.find(rank.pid());
  if (process == nullptr) return;
  rank.set_process_state(std::string(1, process->state));
  for (const auto& [state, count] : thread_states(rank.pid(), threads_per_rank)) {
    auto* threads = rank.add_threads();
    threads->set_state(std::string(1, state));
    threads->set_count(count);
  }
  const TreeSample tree = processes.tree(rank.pid());
  rank.set_process_count(tree.process_count);
  rank.set_cpu_seconds(tree.cpu_seconds);
  rank.set_rss_bytes(tree.rss_bytes);
}

}  // namespace

Result<std::unique_ptr<RunControl>> RunControl::start(
    const std::filesystem::path& socket, store::RunDirectory run_directory, int world_size,
    std::function<void(const std::string&)> notice) {
  std::unique_ptr<RunControl> control(
      new RunControl(std::move(run_directory), world_size, std::move(notice)));
  control->stop_event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  control->changed_event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!control->stop_event_ || !control->changed_event_) {
    return Failure(system_error(ErrorCode::kResources, "making an event descriptor"));
  }
  RunControl* self = control.get();
  MUSTER_TRY_ASSIGN(control->server_, ControlServer::listen(control->loop_, socket, *self));
  control->changed_watch_ =
      control->loop_.on_readable(control->changed_event_.get(), [self] { self->woken(); });
  const AllSignalsBlocked blocked;
  control->thread_ = std::thread([self] { self->loop_.run(); });
  return control;
}

RunControl::RunControl(store::RunDirectory run_directory, int world_size,
                       std::function<void(const std::string&)> notice)
    : run_directory_(std::move(run_directory)), notice_(std::move(notice)) {
  RunState& state = *board_.mutable_state();
  state.set_world_size(world_size);
  state.set_began_at(nanoseconds_now());
  state.set_phase_since(state.began_at());
  for (int rank = 0; rank < world_size; ++rank) board_.add_ranks()->set_rank(rank);
}

RunControl::~RunControl() {
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    changed(std::move(lock));
  }
  thread_.join();
}

void RunControl::changed(std::unique_lock<std::mutex> lock) {
  lock.unlock();
  ::eventfd_write(changed_event_.get(), 1);
}

void RunControl::phase(Phase phase) {
  std::unique_lock lock(mutex_);
  board_.mutable_state()->set_phase(phase);
  board_.mutable_state()->set_phase_since(nanoseconds_now());
  changed(std::move(lock));
}

void RunControl::several_nodes(const plan::LaunchPlan& plan, OtherNodes others) {
  const std::lock_guard lock(mutex_);
  others_ = std::move(others);
  answered_.assign(plan.nodes.size(), 0);
  for (const plan::NodePlan& node : plan.nodes) {
    protocol::NodeStatus& status = *board_.add_nodes();
    status.set_node_rank(node.node_rank);
    status.set_hostname(node.hostname);
    status.set_since(board_.state().began_at());
    status.set_first_rank(node.first_rank);
    status.set_rank_count(node.rank_count);
    for (int rank = node.first_rank; rank < node.first_rank + node.rank_count; ++rank) {
      board_.mutable_ranks(rank)->set_node_rank(node.node_rank);
    }
  }
}

void RunControl::node_state(int node_rank, protocol::NodeStatus::State state,
                            const std::string& said) {
  std::unique_lock lock(mutex_);
  if (node_rank < 0 || node_rank >= board_.nodes_size()) return;
  protocol::NodeStatus& node = *board_.mutable_nodes(node_rank);
  node.set_state(state);
  node.set_said(said);
  node.set_since(nanoseconds_now());
  changed(std::move(lock));
}

void RunControl::node_sampled(int node_rank, const protocol::RanksSampled& sampled) {
  const std::lock_guard lock(mutex_);
  if (node_rank < 0 || node_rank >= board_.nodes_size() || sampled.number() > asked_) return;
  for (const RankStatus& rank : sampled.ranks()) {
    const bool of_node = rank.rank() >= 0 && rank.rank() < board_.ranks_size() &&
                         board_.ranks(rank.rank()).node_rank() == node_rank;
    if (of_node) others_ranks_[rank.rank()] = rank;
  }
  answered_[static_cast<std::size_t>(node_rank)] = sampled.number();
  sampled_.notify_all();
}

void RunControl::sample_for(std::uint64_t number,
                            std::function<void(protocol::RanksSampled)> answer) {
  std::unique_lock lock(mutex_);
  sample_requests_.push_back({number, std::move(answer)});
  changed(std::move(lock));
}

void RunControl::rank_started(const plan::RankOutcome& rank) {
  std::unique_lock lock(mutex_);
  RankStatus& status = *board_.mutable_ranks(rank.rank);
  status.set_state(RankStatus::RUNNING);
  status.set_pid(rank.training_pid);
  if (rank.started_at) status.set_started_at(nanoseconds(*rank.started_at));
  RunState& state = *board_.mutable_state();
  state.set_started(state.started() + 1);
  state.set_running(state.running() + 1);
  if (state.started() == state.world_size() && state.phase() == RunState::STARTING) {
    state.set_phase(RunState::RUNNING);
    state.set_phase_since(nanoseconds_now());
  }
  changed(std::move(lock));
}

void RunControl::rank_ended(const plan::RankOutcome& rank, const std::string& how) {
  std::unique_lock lock(mutex_);
  RankStatus& status = *board_.mutable_ranks(rank.rank);
  RunState& state = *board_.mutable_state();
  if (status.state() == RankStatus::RUNNING) state.set_running(state.running() - 1);
  status.set_state(RankStatus::ENDED);
  status.set_ended_how(how);
  if (rank.ended_at) status.set_ended_at(nanoseconds(*rank.ended_at));
  changed(std::move(lock));
}

void RunControl::placement_differs(int rank, const std::vector<std::string>& differences) {
  std::unique_lock lock(mutex_);
  for (const std::string& difference : differences) {
    board_.mutable_ranks(rank)->add_placement_differences(difference);
  }
  changed(std::move(lock));
}

void RunControl::stopping(const std::string& why) {
  std::unique_lock lock(mutex_);
  board_.mutable_state()->set_stopping(why);
  board_.mutable_state()->set_phase(RunState::STOPPING);
  board_.mutable_state()->set_phase_since(nanoseconds_now());
  changed(std::move(lock));
}

void RunControl::collector(const protocol::CollectorState& state) {
  const std::lock_guard lock(mutex_);
  *board_.mutable_state()->mutable_collector() = state;
}

void RunControl::add_collector(protocol::RunState& state) const {
  const std::lock_guard lock(mutex_);
  if (board_.state().has_collector()) *state.mutable_collector() = board_.state().collector();
}

void RunControl::end(int exit_code) {
  std::unique_lock lock(mutex_);
  board_.mutable_state()->set_phase(RunState::ENDED);
  board_.mutable_state()->set_phase_since(nanoseconds_now());
  board_.mutable_state()->set_exit_code(exit_code);
  ending_ = true;
  changed(std::move(lock));
  thread_.join();
  server_.reset();  // who asks from now on finds nobody, and the record
}

std::vector<StopRequest> RunControl::take_stop_requests() {
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  ::eventfd_read(stop_event_.get(), &count);
  return std::exchange(stop_requests_, {});
}

// ---- the thread ----

void RunControl::woken() {
  eventfd_t count = 0;
  ::eventfd_read(changed_event_.get(), &count);
  server_->state_changed();
  answer_samples();
  const std::lock_guard lock(mutex_);
  if (!ending_ || finish_watch_) return;
  finish_by_ = EventLoop::Clock::now() + kFinishPatience;
  finish_watch_ = loop_.at(EventLoop::Clock::now(), [this] { finish(); });
}

void RunControl::finish() {
  if (!server_->has_unsent() || EventLoop::Clock::now() >= finish_by_) return loop_.stop();
  finish_watch_ = loop_.at(EventLoop::Clock::now() + kFinishInterval, [this] { finish(); });
}

RunState RunControl::run_state() {
  const std::lock_guard lock(mutex_);
  return board_.state();
}

protocol::RunStatus RunControl::run_status() {
  const auto now = EventLoop::Clock::now();
  if (!last_sample_ || now - sampled_at_ > kSampleLasts) {
    last_sample_ = sample();
    sampled_at_ = EventLoop::Clock::now();
  }
  // The sample may be a moment old, the state never.
  const std::lock_guard lock(mutex_);
  *last_sample_->mutable_state() = board_.state();
  for (protocol::NodeStatus& node : *last_sample_->mutable_nodes()) {
    const protocol::NodeStatus& now_known = board_.nodes(node.node_rank());
    node.set_state(now_known.state());
    node.set_said(now_known.said());
    node.set_since(now_known.since());
  }
  return *last_sample_;
}

protocol::RunStatus RunControl::sample() {
  ask_other_nodes();
  protocol::RunStatus status;
  {
    const std::lock_guard lock(mutex_);
    status = board_;
  }
  const ProcessTable processes = ProcessTable::read();
  status.set_sampled_at(nanoseconds_now());
  const int threads_per_rank = std::max(kMaxThreads / std::max(status.ranks_size(), 1), 16);
  for (RankStatus& rank : *status.mutable_ranks()) {
    // Of another node its number means somebody else here.
    const bool is_here = status.nodes_size() == 0 || rank.node_rank() == 0;
    if (is_here && rank.state() == RankStatus::RUNNING) {
      add_process(processes, threads_per_rank, rank);
    }
    std::int64_t last_output_at = 0;
    rank.set_stdout_bytes(
        look_at_stream(run_directory_.rank_stdout(rank.rank(), 0), last_output_at));
    rank.set_stderr_bytes(
        look_at_stream(run_directory_.rank_stderr(rank.rank(), 0), last_output_at));
    rank.set_last_output_at(last_output_at);
  }
  if (status.nodes_size() > 0) await_other_nodes(status);
  return status;
}

void RunControl::ask_other_nodes() {
  std::unique_lock lock(mutex_);
  if (!others_ || board_.state().running() == 0) return;
  const std::uint64_t number = ++asked_;
  lock.unlock();
  others_->ask(number);  // set once, before ranks run
}

// Nobody waits for a node that is not here, or that has nothing to tell.
void RunControl::await_other_nodes(protocol::RunStatus& status) {
  std::vector<bool> awaited(static_cast<std::size_t>(status.nodes_size()), false);
  for (const RankStatus& rank : status.ranks()) {
    if (rank.state() != RankStatus::RUNNING || rank.node_rank() == 0) continue;
    const bool is_here = status.nodes(rank.node_rank()).state() == protocol::NodeStatus::HERE;
    awaited[static_cast<std::size_t>(rank.node_rank())] = is_here;
  }
  std::unique_lock lock(mutex_);
  const auto is_late = [&](std::size_t node) { return awaited[node] && answered_[node] != asked_; };
  sampled_.wait_for(lock, kNodesPatience, [&] {
    for (std::size_t node = 0; node < awaited.size(); ++node) {
      if (is_late(node)) return false;
    }
    return true;
  });
  for (RankStatus& rank : *status.mutable_ranks()) {
    const auto seen = others_ranks_.find(rank.rank());
    if (seen == others_ranks_.end() || rank.state() != RankStatus::RUNNING) continue;
    if (seen->second.pid() != rank.pid()) continue;
    rank.set_process_state(seen->second.process_state());
    *rank.mutable_threads() = seen->second.threads();
    rank.set_process_count(seen->second.process_count());
    rank.set_cpu_seconds(seen->second.cpu_seconds());
    rank.set_rss_bytes(seen->second.rss_bytes());
    rank.set_sampled_at(seen->second.sampled_at());
  }
  for (protocol::NodeStatus& node : *status.mutable_nodes()) {
    node.set_unanswered(is_late(static_cast<std::size_t>(node.node_rank())));
    const auto clock = node.node_rank() == 0 ? std::nullopt : others_->clock_of(node.node_rank());
    if (!clock) continue;
    node.set_clock_ahead_ns(clock->offset.count());
    node.set_clock_bound_ns(clock->bound.count());
  }
}

void RunControl::answer_samples() {
  std::vector<SampleRequest> requests;
  {
    const std::lock_guard lock(mutex_);
    requests = std::exchange(sample_requests_, {});
  }
  if (requests.empty()) return;
  protocol::RunStatus status = sample();
  for (const SampleRequest& request : requests) {
    protocol::RanksSampled sampled;
    sampled.set_number(request.number);
    for (RankStatus& rank : *status.mutable_ranks()) {
      if (rank.state() != RankStatus::RUNNING) continue;
      rank.set_sampled_at(status.sampled_at());
      *sampled.add_ranks() = rank;
    }
    request.answer(std::move(sampled));
  }
}

protocol::CancelReply RunControl::cancel(bool now, const PeerCredentials& by) {
  const std::string who = user_name(by.uid);  // may ask a directory service: not under the lock
  protocol::CancelReply reply;
  const std::lock_guard lock(mutex_);
  switch (board_.state().phase()) {
    case RunState::STORING:
    case RunState::ENDED: reply.set_note("every rank has ended already"); return reply;
    case RunState::DRAINING:
      reply.set_note("every rank has ended already; what their last output waits for is cut");
      break;
    case RunState::STOPPING:
      reply.set_note("it was stopping already (" + board_.state().stopping() +
                     "): its grace is skipped");
      break;
    default:
      if (now) reply.set_note("its ranks are killed");
  }
  reply.set_accepted(true);
  stop_requests_.push_back({now, "muster cancel (user " + who + ")"});
  ::eventfd_write(stop_event_.get(), 1);
  return reply;
}

}  // namespace muster::exec
