#include "launcher/topology/forked_child.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/process.h"

namespace muster::topology {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kFailed = 70;

// All but the standard ones and `kept`: a child that hangs in the driver must not hold a rank's
// pipe open.
void close_all_but(int kept) {
  if (kept > 3) ::syscall(SYS_close_range, 3U, static_cast<unsigned>(kept - 1), 0U);
  if (::syscall(SYS_close_range, static_cast<unsigned>(kept + 1), ~0U, 0U) == 0) return;
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return;
  std::vector<int> open;
  while (const dirent* entry = ::readdir(directory)) open.push_back(std::atoi(entry->d_name));
  ::closedir(directory);
  for (const int fd : open) {
    if (fd > 2 && fd != kept) ::close(fd);
  }
}

[[noreturn]] void work_and_end(const std::function<bool(const Fd&)>& work, Fd pipe, pid_t parent) {
  if (!set_parent_death_signal(SIGKILL, parent)) ::_exit(kFailed);
  std::signal(SIGPIPE, SIG_IGN);
  close_all_but(pipe.get());
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {0, 1, 2}) {
    if (nothing >= 0) ::dup2(nothing, fd);
  }
  try {
    ::_exit(work(pipe) ? 0 : kFailed);
  } catch (...) {
    ::_exit(kFailed);  // no destructor of the parent's objects may run here
  }
}

}  // namespace

Result<ForkedChild> fork_child(const std::function<bool(const Fd& pipe)>& work) {
  MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
  MUSTER_TRY(set_nonblocking(pipe.read_end, true));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Failure(system_error(ErrorCode::kResources, "starting a process"));
  if (pid == 0) work_and_end(work, std::move(pipe.write_end), parent);
  return ForkedChild{pid, std::move(pipe.read_end)};
}

void end_forked_child(pid_t pid) {
  ::kill(pid, SIGKILL);
  const auto moment = Clock::now() + 100ms;
  while (::waitpid(pid, nullptr, WNOHANG) == 0 && Clock::now() < moment) detail::pause_briefly();
}

}  // namespace muster::topology
