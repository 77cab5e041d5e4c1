// How long a training process takes to reach its main, started directly and through an agent.
//
//   agent_start AGENT TELL_TIME ROUNDS
//
// This program stands in for the launcher, so only the agent is measured: it listens, starts the
// agent as the direct starter does, and answers its hello with a spec and three descriptors.  The
// clock starts right before the first process is started and stops when TELL_TIME's main looks.
// One line for each round: nanoseconds directly (posix_spawn), nanoseconds through the agent.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/error_text.h"
#include "base/files.h"
#include "base/process.h"
#include "base/signals.h"
#include "base/text.h"
#include "base/unix_socket.h"
#include "protocol/node_channel.h"

namespace muster {
namespace {

constexpr int kPatienceMs = 10'000;

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Result<> wait_readable(int fd, const char* what) {
  pollfd watched{fd, POLLIN, 0};
  if (::poll(&watched, 1, kPatienceMs) == 1) return {};
  return fail(ErrorCode::kTimeout, std::string("waited 10 s for ") + what);
}

Result<std::int64_t> told_time(const Fd& pipe) {
  MUSTER_TRY(wait_readable(pipe.get(), "the training process"));
  std::int64_t ns = 0;
  if (::read(pipe.get(), &ns, sizeof ns) == static_cast<ssize_t>(sizeof ns)) return ns;
  return fail(ErrorCode::kInternal, "the training process told no time");
}

// "0-7": Cpus_allowed_list of /proc/self/status.
std::string allowed_cpus() {
  constexpr std::string_view kName = "Cpus_allowed_list:\t";
  for (const std::string& line : split(read_file("/proc/self/status").value_or(""), '\n')) {
    if (line.starts_with(kName)) return line.substr(kName.size());
  }
  return "0";
}

class Bench {
 public:
  Bench(std::string agent, std::string program, TemporaryDirectory directory)
      : agent_(std::move(agent)), program_(std::move(program)), directory_(std::move(directory)) {}

  Result<> run(int rounds) {
    MUSTER_TRY_ASSIGN(listener_, listen_unix(socket_path(), 8));
    MUSTER_TRY_ASSIGN(nothing_, open_file("/dev/null", O_RDWR));
    for (int round = 0; round < rounds; ++round) {
      MUSTER_TRY_ASSIGN(const std::int64_t direct, start_directly());
      MUSTER_TRY_ASSIGN(const std::int64_t agent, start_through_agent());
      std::printf("%lld %lld\n", static_cast<long long>(direct), static_cast<long long>(agent));
    }
    return {};
  }

 private:
  std::string socket_path() const { return (directory_.path() / "node.sock").string(); }

  Result<std::int64_t> start_directly() {
    MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, pipe.write_end.get(), STDOUT_FILENO);
    std::string name = program_;
    char* argv[] = {name.data(), nullptr};
    pid_t pid = 0;
    const std::int64_t before = monotonic_ns();
    const int error = ::posix_spawn(&pid, name.c_str(), &actions, nullptr, argv, ::environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      return Failure(system_error(ErrorCode::kInternal, "starting " + program_, error));
    }
    const auto at = told_time(pipe.read_end);
    ::waitpid(pid, nullptr, 0);
    if (!at) return Failure(at.error());
    return *at - before;
  }

  Result<std::int64_t> start_through_agent() {
    MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
    ChildSpec spec;
    spec.program = agent_;
    spec.argv = {"muster-agent"};
    spec.environment = own_environment();
    spec.environment.push_back(protocol::kNodeSocketVariable + ("=" + socket_path()));
    spec.environment.push_back(protocol::kAgentRankVariable + std::string("=0"));
    spec.stdin_fd = nothing_.get();
    spec.working_directory = "/";
    const std::int64_t before = monotonic_ns();
    auto agent = Child::start(spec);
    if (!agent) return fail(ErrorCode::kInternal, agent.error().describe(spec));
    MUSTER_TRY(wait_readable(listener_.get(), "the agent"));
    MUSTER_TRY_ASSIGN(Fd socket, accept_unix(listener_));
    protocol::NodeChannel channel(std::move(socket));
    MUSTER_TRY(next_message(channel));  // its hello
    MUSTER_TRY(send_spec(channel, pipe.write_end.get()));
    MUSTER_TRY_ASSIGN(const std::int64_t at, told_time(pipe.read_end));
    MUSTER_TRY(wait_until_quiet(channel));
    protocol::LauncherMessage leave;
    leave.mutable_leave();
    MUSTER_TRY(channel.send(leave));
    agent->reap();
    return at - before;
  }

  // What the launcher sends for one of two ranks.  It binds to all CPUs that this program has, as
  // the rank that is started directly does not choose one either.
  Result<> send_spec(protocol::NodeChannel& channel, int stdout_fd) {
    protocol::LauncherMessage message;
    protocol::RankSpec& spec = *message.mutable_spec();
    spec.set_world_size(2);
    spec.add_argv(program_);
    for (const std::string& variable : own_environment()) spec.add_environment(variable);
    for (const char* variable : {"RANK=0", "LOCAL_RANK=0", "WORLD_SIZE=2"}) {
      spec.add_environment(variable);
    }
    spec.set_working_directory("/");
    spec.set_bind(true);
    spec.set_cpuset(allowed_cpus());
    spec.set_memory_nodes("0");
    spec.set_descendants_grace_ms(2000);
    return channel.send(message, {nothing_.get(), stdout_fd, nothing_.get()});
  }

  static Result<protocol::AgentMessage> next_message(protocol::NodeChannel& channel) {
    while (true) {
      MUSTER_TRY_ASSIGN(auto message, channel.next_agent_message());
      if (message) return std::move(*message);
      MUSTER_TRY(wait_readable(channel.fd(), "a message of the agent"));
      MUSTER_TRY_ASSIGN(const bool alive, channel.receive());
      if (!alive) return fail(ErrorCode::kInternal, "the agent has ended");
    }
  }

  static Result<> wait_until_quiet(protocol::NodeChannel& channel) {
    while (true) {
      MUSTER_TRY_ASSIGN(const protocol::AgentMessage message, next_message(channel));
      if (message.has_quiet()) return {};
    }
  }

  std::string agent_;
  std::string program_;
  TemporaryDirectory directory_;
  Fd listener_;
  Fd nothing_;
};

Result<> run(const std::string& agent, const std::string& program, const std::string& rounds) {
  const auto count = parse_integer(rounds);
  if (!count || *count < 1) return fail(ErrorCode::kUsage, "\"" + rounds + "\" is not a count");
  const char* parent = std::getenv("TMPDIR");
  MUSTER_TRY_ASSIGN(auto directory, TemporaryDirectory::create(parent == nullptr ? "/tmp" : parent,
                                                               "agent-start-"));
  return Bench(agent, program, std::move(directory)).run(static_cast<int>(*count));
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: agent_start AGENT TELL_TIME ROUNDS\n", stderr);
    return 64;
  }
  const auto done = muster::run(argv[1], argv[2], argv[3]);
  if (done) return 0;
  std::fputs(muster::format_error(done.error(), "agent_start").c_str(), stderr);
  return 1;
}
