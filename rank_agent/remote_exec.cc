#include "rank_agent/remote_exec.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/process.h"
#include "base/text.h"
#include "base/unix_socket.h"
#include "muster/version.h"
#include "protocol/daemon_command.h"
#include "protocol/node_channel.h"

namespace muster::agent {
namespace {

using namespace std::chrono_literals;
using protocol::DaemonNews;
using Clock = std::chrono::steady_clock;

// Each step has its own; what comes after RUNNING lasts as long as the run.
constexpr auto kConnectLimit = 10s;
constexpr auto kTakenLimit = 30s;
constexpr auto kRunningLimit = 60s;

struct End {
  RemoteExecEnd code = RemoteExecEnd::kDone;
  std::string why = {};
};

// The launcher may have many to accept at once.
Result<Fd> connect_patiently(const char* path) {
  const auto deadline = Clock::now() + kConnectLimit;
  while (true) {
    auto socket = connect_unix(path);
    if (socket || Clock::now() > deadline) return socket;
    std::this_thread::sleep_for(20ms);
  }
}

// What mpirun gave, as the shell of ssh would get it.
protocol::AgentMessage wanted(const std::vector<std::string>& words) {
  protocol::AgentMessage message;
  auto& daemon = *message.mutable_daemon_wanted();
  daemon.set_version(kVersion);
  daemon.set_pid(::getpid());
  daemon.set_node(words.front());
  daemon.set_command(join({words.begin() + 1, words.end()}, " "));
  return message;
}

class Conversation {
 public:
  explicit Conversation(Fd socket) : channel_(std::move(socket)) {}

  End hold(const std::vector<std::string>& words) {
    if (auto sent = channel_.send(wanted(words)); !sent) {
      return {RemoteExecEnd::kUnreachable, sent.error().message};
    }
    std::optional<End> end;
    while (!end) end = step();
    return *end;
  }

 private:
  std::optional<End> step() {
    if (!wait()) {
      if (taken_) return End{RemoteExecEnd::kDaemonFailed, "it is not running after 60 s"};
      return End{RemoteExecEnd::kUnreachable, "the launcher has not answered for 30 s"};
    }
    if (auto flushed = channel_.flush(); !flushed) {
      return End{RemoteExecEnd::kUnreachable, flushed.error().message};
    }
    const auto more = channel_.receive();
    while (true) {
      auto message = channel_.next_launcher_message();
      if (!message) return End{RemoteExecEnd::kUnreachable, message.error().message};
      if (!*message) break;
      if (auto end = take(**message)) return end;
    }
    if (!more) return End{RemoteExecEnd::kUnreachable, more.error().message};
    if (!*more) return End{RemoteExecEnd::kUnreachable, "the launcher is gone"};
    return std::nullopt;
  }

  // False: the deadline has passed.
  bool wait() const {
    int timeout = -1;
    if (deadline_) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
      if (left <= 0) return false;
      timeout = static_cast<int>(left);
    }
    const short events = channel_.has_unsent() ? POLLIN | POLLOUT : POLLIN;
    pollfd waited{channel_.fd(), events, 0};
    return ::poll(&waited, 1, timeout) != 0;
  }

  std::optional<End> take(const protocol::LauncherMessage& message) {
    if (message.has_refuse()) return End{RemoteExecEnd::kRefused, message.refuse()};
    if (!message.has_daemon()) return std::nullopt;
    const DaemonNews& news = message.daemon();
    switch (news.what()) {
      case DaemonNews::TAKEN:
        taken_ = true;
        deadline_ = Clock::now() + kRunningLimit;
        return std::nullopt;
      case DaemonNews::RUNNING: deadline_.reset(); return std::nullopt;
      case DaemonNews::REFUSED: return End{RemoteExecEnd::kRefused, news.why()};
      case DaemonNews::LOST: return End{RemoteExecEnd::kNodeLost, news.why()};
      case DaemonNews::ENDED: return end_of(news);
      default: return std::nullopt;
    }
  }

  static End end_of(const DaemonNews& news) {
    const int status = news.status();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && news.why().empty()) return {};
    if (!news.why().empty()) return {RemoteExecEnd::kDaemonFailed, news.why()};
    if (WIFSIGNALED(status)) {
      return {RemoteExecEnd::kDaemonFailed,
              "it was killed by signal " + std::to_string(WTERMSIG(status))};
    }
    return {RemoteExecEnd::kDaemonFailed,
            "it ended with exit code " + std::to_string(WEXITSTATUS(status))};
  }

  protocol::NodeChannel channel_;
  bool taken_ = false;
  std::optional<Clock::time_point> deadline_ = Clock::now() + kTakenLimit;
};

End ask(const std::vector<std::string>& words) {
  const char* path = std::getenv(protocol::kNodeSocketVariable);
  if (path == nullptr) {
    return {RemoteExecEnd::kUnreachable, std::string(protocol::kNodeSocketVariable) +
                                             " is not set: mpirun was not started by muster run"};
  }
  if (words.size() < 2) return {RemoteExecEnd::kRefused, "no node and no command were given"};
  // The launcher checks them, too; here it costs nobody a message.
  if (const auto node = protocol::node_rank_of_mpi_name(words.front()); !node) {
    return {RemoteExecEnd::kRefused, node.error().message};
  }
  auto socket = connect_patiently(path);
  if (!socket) return {RemoteExecEnd::kUnreachable, socket.error().message};
  return Conversation(std::move(*socket)).hold(words);
}

}  // namespace

int remote_exec(const std::vector<std::string>& words) {
  // It ends when the daemon does, or mpirun: mpirun passes its own signals on to its group.
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    std::signal(signal_number, SIG_IGN);
  }
  const pid_t parent = ::getppid();
  if (!set_parent_death_signal(SIGKILL, parent)) return static_cast<int>(RemoteExecEnd::kDone);
  const End end = ask(words);
  if (end.code == RemoteExecEnd::kDone) return 0;
  const std::string node = words.empty() ? "?" : without_controls(words.front());
  std::fprintf(stderr, "muster-agent: cannot run mpirun's daemon on %s: %s\n", node.c_str(),
               without_controls(end.why).c_str());
  return static_cast<int>(end.code);
}

}  // namespace muster::agent
