#include "launcher/exec/daemons.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>

#include "base/fd.h"
#include "base/process_limits.h"
#include "protocol/daemon_command.h"

namespace muster::exec {
namespace {

constexpr auto kEndWait = std::chrono::seconds(2);

int wait_status(const ExitStatus& status) {
  return status.how == ExitStatus::How::kExited ? status.value << 8 : status.value;
}

}  // namespace

Result<> Daemons::start(int id, const std::string& command,
                        const std::map<std::string, std::string>& environment, int log_fd) {
  MUSTER_TRY(protocol::parse_daemon_command(command));
  if (running_.contains(id)) return fail(ErrorCode::kInternal, "it runs already");
  MUSTER_TRY_ASSIGN(const Fd nothing, open_file("/dev/null", O_RDONLY));
  ChildSpec spec;
  spec.program = "/bin/sh";
  // The shell makes way for it, where the line is that one command.
  const bool is_one = command.find(';') == command.npos;
  spec.argv = {"sh", "-c", is_one ? "exec " + command : command};
  for (const auto& [name, value] : environment) spec.environment.push_back(name + "=" + value);
  spec.working_directory = "/";
  spec.parent_death_signal = SIGKILL;
  spec.stdin_fd = nothing.get();
  spec.stdout_fd = log_fd;
  spec.stderr_fd = log_fd;
  auto child = Child::start(spec);
  if (!child) {
    return fail(ErrorCode::kResources, child.error().describe(spec), kProcessLimitHint);
  }
  running_[id] = std::move(*child);
  return {};
}

void Daemons::reap() {
  for (auto each = running_.begin(); each != running_.end();) {
    const auto daemon = each++;
    const auto reaped = daemon->second.try_reap();
    if (!reaped) continue;
    const int id = daemon->first;
    running_.erase(daemon);
    ended_(id, wait_status(reaped->status));
  }
}

bool Daemons::owns(pid_t pid) const {
  for (const auto& [id, child] : running_) {
    if (child.pid() == pid) return true;
  }
  return false;
}

void Daemons::end(int id) {
  const auto found = running_.find(id);
  if (found != running_.end()) found->second.signal_group(SIGKILL);
}

void Daemons::end_all() {
  for (const auto& [id, child] : running_) child.signal_group(SIGKILL);
  const auto deadline = std::chrono::steady_clock::now() + kEndWait;
  while (!running_.empty() && std::chrono::steady_clock::now() < deadline) {
    for (auto each = running_.begin(); each != running_.end();) {
      const auto daemon = each++;
      if (daemon->second.try_reap()) running_.erase(daemon);
    }
    if (!running_.empty()) muster::detail::pause_briefly();
  }
}

}  // namespace muster::exec
