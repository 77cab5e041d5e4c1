// One poll loop over three descriptors: signals, the training process's pidfd, the launcher's
// socket.
//
// What the agent promises: the training process and everything that it ever started below this
// agent is gone when the agent is (it is a child subreaper, so nothing escapes by setsid or a
// double fork); the end is reported before anything else happens, also before evidence about it is
// gathered; a signal from mpirun is reported, not obeyed, because only the launcher decides how a
// run ends.

#include "rank_agent/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/version.h"
#include "rank_agent/arguments.h"
#include "rank_agent/binding.h"
#include "rank_agent/communicators.h"
#include "rank_agent/environment.h"
#include "rank_agent/mounts.h"
#include "rank_agent/outcome.h"
#include "rank_agent/placement_seen.h"

namespace muster::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kSweepDeadline = 10s;  // processes in uninterruptible sleep cannot be waited for
constexpr auto kFirstLibraryLook = 20ms;
constexpr auto kLastLibraryLook = 5min;
// A wrapper that moves itself into a cgroup does that first of all, or after loading for a while.
constexpr auto kFirstCgroupLook = 20ms;
constexpr auto kLastCgroupLook = 1min;
constexpr int kLaterLook = 11;  // times as long after the first look as that was after the start
constexpr auto kCountLookInterval = 2s;  // one small file

std::vector<std::string> to_strings(const auto& repeated) {
  return {repeated.begin(), repeated.end()};
}

std::vector<ResourceLimit> limits_of(const protocol::RankSpec& spec) {
  std::vector<ResourceLimit> limits;
  for (const protocol::ResourceLimit& limit : spec.limits()) {
    limits.push_back({limit.resource(), {limit.soft(), limit.hard()}});
  }
  return limits;
}

}  // namespace

int parent_death_signal() {
  return SIGRTMIN + 3;
}

Supervisor::Supervisor(protocol::NodeChannel channel, SignalFd signals)
    : channel_(std::move(channel)), signals_(std::move(signals)) {}

Result<> Supervisor::fetch_spec(int rank, pid_t parent) {
  protocol::AgentMessage message;
  protocol::AgentHello& hello = *message.mutable_hello();
  hello.set_version(kVersion);
  hello.set_rank(rank);
  hello.set_pid(::getpid());
  hello.set_parent_pid(parent);
  MUSTER_TRY(channel_.send(message));
  memory_.begin();  // while the launcher prepares the spec
  while (!orphaned_ && !leave_ && standard_fds_.empty()) MUSTER_TRY(wait_for_event());
  if (orphaned_) return fail(ErrorCode::kInternal, "the launcher is gone");
  return {};
}

Result<> Supervisor::run() {
  Result<> served = leave_ ? Result<>() : serve();
  // Also after an error, which may be nothing but a launcher that is gone: no child is left behind.
  sweep();
  return served;
}

Result<> Supervisor::serve() {
  MUSTER_TRY(start_training());
  MUSTER_TRY(report_if_quiet());  // of what never started no event tells
  while (!leave_ && !orphaned_) {
    MUSTER_TRY(wait_for_event());
    const auto now = Clock::now();
    if (sweep_at_ && now >= *sweep_at_) sweep();
    if (next_library_look_ && now >= *next_library_look_) MUSTER_TRY(look_for_mpi_library());
    if (next_cgroup_look_ && now >= *next_cgroup_look_) look_for_cgroup();
    if (next_count_look_ && now >= *next_count_look_) look_at_count();
    if (placement_look_ && now >= *placement_look_) MUSTER_TRY(look_at_placement());
    MUSTER_TRY(report_if_quiet());
  }
  return {};
}

Result<> Supervisor::start_training() {
  const std::vector<std::string> environment = training_environment(spec_, own_environment());
  if (const std::string contradiction = find_contradiction(spec_, environment);
      !contradiction.empty()) {
    ended_ = true;
    return channel_.send(refused_message(contradiction));
  }
  if (spec_.mounts_size() > 0) {
    if (const std::string missing = find_missing_mount(spec_, mount_table()); !missing.empty()) {
      ended_ = true;
      return channel_.send(refused_message(missing, ExitCode::kData));
    }
  }
  const std::string binding_note = apply_binding(spec_);

  ChildSpec& child = training_spec_;
  child.argv = training_argv(spec_, environment);
  child.program = child.argv.empty() ? "" : child.argv.front();
  child.search_path = value_of(environment, "PATH");
  if (child.search_path.empty()) child.search_path = "/usr/bin:/bin";  // as execvp
  child.environment = environment;
  child.working_directory = spec_.working_directory();
  child.stdin_fd = standard_fds_.at(0).get();
  child.stdout_fd = standard_fds_.at(1).get();
  child.stderr_fd = standard_fds_.at(2).get();
  child.parent_death_signal = SIGKILL;
  child.limits = limits_of(spec_);

  auto started = Child::start(child);
  standard_fds_.clear();  // only the training process holds the streams' write ends now
  if (!started) {
    ended_ = true;
    MUSTER_TRY(channel_.send(exec_failed_message(started.error(), child)));
    protocol::AgentMessage evidence;
    add_findings(started.error(), child, *evidence.mutable_evidence());
    return channel_.send(evidence);
  }
  training_ = std::move(*started);
  if (held_) training_.signal_group(SIGSTOP);

  protocol::AgentMessage message;
  protocol::TrainingStarted& report = *message.mutable_started();
  report.set_pid(training_.pid());
  started_at_ns_ = realtime_ns();
  report.set_started_at_ns(started_at_ns_);
  // What it has inherited: by now its program may have narrowed that (taskset), which is no failure
  // to bind it.
  mask_at_start_ = read_affinity(0);
  report.set_cpuset(mask_at_start_);
  *report.mutable_placement() = see_placement(training_.pid());
  report.set_binding_note(binding_note);
  if (child.argv != to_strings(spec_.argv())) {
    for (const std::string& word : child.argv) report.add_argv(word);
  }
  MUSTER_TRY(channel_.send(message));
  memory_.began();
  next_count_look_ = Clock::now() + kCountLookInterval;
  if (spec_.check_placement_after_ms() > 0) {
    placement_look_ = Clock::now() + std::chrono::milliseconds(spec_.check_placement_after_ms());
  }
  cgroup_look_interval_ = kFirstCgroupLook;
  next_cgroup_look_ = Clock::now() + cgroup_look_interval_;
  if (spec_.world_size() > 1) {
    library_look_interval_ = kFirstLibraryLook;
    next_library_look_ = Clock::now() + library_look_interval_;
  }
  return {};
}

Result<> Supervisor::wait_for_event() {
  pollfd watched[] = {{signals_.get(), POLLIN, 0},
                      {channel_.fd(), POLLIN, 0},
                      {training_.exit_fd(), POLLIN, 0}};  // -1 is skipped by poll
  if (::poll(watched, std::size(watched), poll_timeout_ms()) < 0 && errno != EINTR) {
    return Failure(system_error(ErrorCode::kInternal, "waiting for events"));
  }
  if (watched[0].revents != 0) MUSTER_TRY(read_signals());
  // The end is looked for before the launcher is read: a Leave must not overtake an outcome.
  if (training_) MUSTER_TRY(check_training());
  if (watched[1].revents != 0) MUSTER_TRY(read_launcher());
  return {};
}

int Supervisor::poll_timeout_ms() const {
  std::optional<Clock::time_point> next = sweep_at_;
  for (const auto& look :
       {next_library_look_, next_cgroup_look_, next_count_look_, placement_look_}) {
    if (look && (!next || *look < *next)) next = look;
  }
  if (!next) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

Result<> Supervisor::read_signals() {
  while (const auto info = signals_.read()) {
    const int signal_number = static_cast<int>(info->ssi_signo);
    if (signal_number == parent_death_signal()) {
      orphaned_ = true;
      protocol::AgentMessage message;
      message.mutable_parent_gone();
      static_cast<void>(channel_.send(message));  // the launcher may be gone as well
    } else if (signal_number == SIGCHLD) {
      reap_strangers();
    } else if (signal_number == SIGUSR1 || signal_number == SIGUSR2) {
      training_.signal_group(signal_number);  // mpirun passes these on for the user
    } else if (signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGHUP ||
               signal_number == SIGQUIT || signal_number == SIGABRT) {
      protocol::AgentMessage message;
      message.mutable_signalled()->set_signal_number(signal_number);
      message.mutable_signalled()->set_sender_pid(static_cast<int>(info->ssi_pid));
      message.mutable_signalled()->set_from_parent(static_cast<pid_t>(info->ssi_pid) ==
                                                   ::getppid());
      MUSTER_TRY(channel_.send(message));
    }
  }
  return {};
}

Result<> Supervisor::read_launcher() {
  MUSTER_TRY_ASSIGN(const bool alive, channel_.receive());
  while (true) {
    MUSTER_TRY_ASSIGN(const auto message, channel_.next_launcher_message());
    if (!message) break;
    switch (message->message_case()) {
      case protocol::LauncherMessage::kSpec:
        spec_ = message->spec();
        standard_fds_ = channel_.take_fds();
        if (standard_fds_.size() != 3) {
          return fail(ErrorCode::kInternal, "the spec came without its three descriptors");
        }
        break;
      case protocol::LauncherMessage::kSignal:
        signal_training(message->signal().signal_number());
        break;
      case protocol::LauncherMessage::kKill: sweep(); break;
      case protocol::LauncherMessage::kLeave: leave_ = true; break;
      case protocol::LauncherMessage::kRefuse:
        return fail(ErrorCode::kInternal, "the launcher refuses this agent: " + message->refuse());
      case protocol::LauncherMessage::kDaemon:  // for remote-exec alone
      case protocol::LauncherMessage::MESSAGE_NOT_SET: break;  // a newer launcher's word
    }
  }
  if (!alive) orphaned_ = true;
  return {};
}

void Supervisor::signal_training(int signal_number) {
  if (signal_number == SIGSTOP || signal_number == SIGCONT) held_ = signal_number == SIGSTOP;
  training_.signal_group(signal_number);
  // One that somebody has stopped would not see it before the grace is over.
  if (signal_number == SIGTERM) training_.signal_group(SIGCONT);
}

Result<> Supervisor::check_training() {
  const pid_t pid = training_.pid();
  const auto reaped = training_.try_reap();
  if (!reaped) return {};
  ended_ = true;
  next_library_look_.reset();
  next_cgroup_look_.reset();
  next_count_look_.reset();
  placement_look_.reset();
  // What the rank left behind may finish its work for a moment, then it must let go of the pipes.
  sweep_at_ = Clock::now() + std::chrono::milliseconds(spec_.descendants_grace_ms());
  protocol::AgentMessage message = ended_message(*reaped);
  message.mutable_ended()->set_by_agent(killing_);
  MUSTER_TRY(channel_.send(message));
  return reaped->status.ok() || killing_ ? Result<>() : report_evidence(reaped->status, pid);
}

Result<> Supervisor::report_evidence(const ExitStatus& status, pid_t pid) {
  protocol::AgentMessage message;
  protocol::RankEvidence& evidence = *message.mutable_evidence();
  *evidence.mutable_memory() = memory_.facts(status == ExitStatus::signaled(SIGKILL));
  add_findings(status, training_spec_, pid, started_at_ns_, evidence);
  return channel_.send(message);
}

Result<> Supervisor::report_if_quiet() {
  if (!ended_ || quiet_said_ || !children_of_this_process().empty()) return {};
  quiet_said_ = true;
  sweep_at_.reset();
  protocol::AgentMessage message;
  message.mutable_quiet();
  return channel_.send(message);
}

Result<> Supervisor::look_for_mpi_library() {
  next_library_look_.reset();
  if (const auto name = find_mpi_library(training_.pid())) {
    protocol::AgentMessage message;
    message.mutable_mpi_library()->set_file_name(*name);
    return channel_.send(message);
  }
  library_look_interval_ += library_look_interval_ / 2;
  if (library_look_interval_ < kLastLibraryLook) {
    next_library_look_ = Clock::now() + library_look_interval_;
  }
  return {};
}

void Supervisor::look_at_count() {
  memory_.look_at_count(training_.pid());
  next_count_look_ = Clock::now() + kCountLookInterval;
}

// Frameworks narrow masks while they are loaded; what they start later inherits that.
Result<> Supervisor::look_at_placement() {
  placement_look_.reset();
  protocol::AgentMessage message;
  *message.mutable_placement() = see_placement_again(training_.pid(), mask_at_start_);
  // Where a framework takes a minute to load, nothing has happened yet.
  if (message.placement().narrowed_count() == 0 && !looked_at_placement_) {
    placement_look_ =
        Clock::now() + kLaterLook * std::chrono::milliseconds(spec_.check_placement_after_ms());
  }
  looked_at_placement_ = true;
  return channel_.send(message);
}

void Supervisor::look_for_cgroup() {
  next_cgroup_look_.reset();
  memory_.look(training_.pid());
  cgroup_look_interval_ *= 5;
  if (cgroup_look_interval_ < kLastCgroupLook) {
    next_cgroup_look_ = Clock::now() + cgroup_look_interval_;
  }
}

// Orphans that became our children and have ended; the training process is reaped by its owner.
void Supervisor::reap_strangers() {
  for (const pid_t pid : children_of_this_process()) {
    if (pid != training_.pid()) ::waitpid(pid, nullptr, WNOHANG);
  }
}

void Supervisor::sweep() {
  sweep_at_.reset();
  if (training_) {
    killing_ = true;
    training_.signal_group(SIGKILL);
    const pid_t training = training_.pid();
    kill_children_until_none([training](pid_t pid) { return pid == training; },
                             Clock::now() + kSweepDeadline);
    // Its end is reported also when we are about to leave.
    for (const auto deadline = Clock::now() + kSweepDeadline; training_ && Clock::now() < deadline;
         detail::pause_briefly()) {
      static_cast<void>(check_training());
    }
    sweep_at_.reset();
  }
  kill_children_until_none([](pid_t) { return false; }, Clock::now() + kSweepDeadline);
}

}  // namespace muster::agent
