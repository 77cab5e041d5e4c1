#include "launcher/topology/forked_answer.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <dirent.h>
#include <exception>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/exit_status.h"
#include "base/process.h"

namespace muster::topology {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostBytes = 4U << 20;
constexpr int kThrew = 70;

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

[[noreturn]] void answer_and_end(const std::function<std::string()>& question, Fd pipe,
                                 pid_t parent) {
  if (!set_parent_death_signal(SIGKILL, parent)) ::_exit(kThrew);
  std::signal(SIGPIPE, SIG_IGN);
  close_all_but(pipe.get());
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {0, 1, 2}) {
    if (nothing >= 0) ::dup2(nothing, fd);
  }
  try {
    const auto written = write_all(pipe, question());
    ::_exit(written ? 0 : kThrew);
  } catch (...) {
    ::_exit(kThrew);  // no destructor of the parent's objects may run here
  }
}

}  // namespace

Result<ForkedAnswer> ForkedAnswer::ask(const std::function<std::string()>& question,
                                       std::chrono::milliseconds patience) {
  MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
  MUSTER_TRY(set_nonblocking(pipe.read_end, true));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Failure(system_error(ErrorCode::kResources, "starting a process"));
  if (pid == 0) answer_and_end(question, std::move(pipe.write_end), parent);
  return ForkedAnswer(pid, std::move(pipe.read_end), Clock::now() + patience);
}

ForkedAnswer::ForkedAnswer(pid_t pid, Fd answer, Clock::time_point deadline)
    : pid_(pid), answer_(std::move(answer)), deadline_(deadline) {}

ForkedAnswer::ForkedAnswer(ForkedAnswer&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      answer_(std::move(other.answer_)),
      deadline_(other.deadline_),
      text_(std::move(other.text_)),
      state_(other.state_) {}

ForkedAnswer& ForkedAnswer::operator=(ForkedAnswer&& other) noexcept {
  if (this == &other) return *this;
  end_child();
  pid_ = std::exchange(other.pid_, 0);
  answer_ = std::move(other.answer_);
  deadline_ = other.deadline_;
  text_ = std::move(other.text_);
  state_ = other.state_;
  return *this;
}

ForkedAnswer::~ForkedAnswer() {
  end_child();
}

// Killed and reaped when it is there to be reaped within a moment; one that hangs in the kernel is
// left to whoever reaps this process's children, or to init.
void ForkedAnswer::end_child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  const auto moment = Clock::now() + 100ms;
  while (::waitpid(pid_, nullptr, WNOHANG) == 0 && Clock::now() < moment) detail::pause_briefly();
  pid_ = 0;
}

ForkedAnswer::State ForkedAnswer::poll() {
  if (state_ != State::kWaiting) return state_;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = ::read(answer_.get(), buffer.data(), buffer.size());
    if (got > 0 && text_.size() < kMostBytes) {
      text_.append(buffer.data(), static_cast<std::size_t>(got));
      continue;
    }
    if (got >= 0) return ended();
    if (errno == EINTR) continue;
    break;
  }
  if (Clock::now() >= deadline_) {
    state_ = State::kTooLate;
    end_child();
  }
  return state_;
}

// The pipe has ended, so the child does so too.
ForkedAnswer::State ForkedAnswer::ended() {
  int status = 0;
  pid_t reaped = 0;
  while ((reaped = ::waitpid(pid_, &status, WNOHANG)) == 0 && Clock::now() < deadline_) {
    detail::pause_briefly();
  }
  if (reaped == 0) {
    // Its text is whole; what it does with the driver on the way out is none of our business.
    end_child();
    return state_ = State::kAnswered;
  }
  pid_ = 0;
  // Somebody else may have reaped it; then the text alone tells.
  const bool fine = reaped < 0 ? !text_.empty() : WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!fine) text_ = ExitStatus::from_wait(status).describe();
  return state_ = fine ? State::kAnswered : State::kDied;
}

ForkedAnswer::State ForkedAnswer::wait() {
  while (poll() == State::kWaiting) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    pollfd readable{answer_.get(), POLLIN, 0};
    ::poll(&readable, 1, left > 0ms ? static_cast<int>(left.count()) + 1 : 0);
  }
  return state_;
}

}  // namespace muster::topology
