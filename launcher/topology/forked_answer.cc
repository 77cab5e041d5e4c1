#include "launcher/topology/forked_answer.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "base/exit_status.h"
#include "base/process.h"
#include "launcher/topology/forked_child.h"

namespace muster::topology {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostBytes = 4U << 20;

}  // namespace

Result<ForkedAnswer> ForkedAnswer::ask(const std::function<std::string()>& question,
                                       std::chrono::milliseconds patience) {
  MUSTER_TRY_ASSIGN(ForkedChild child, fork_child([&question](const Fd& pipe) {
                      return write_all(pipe, question()).has_value();
                    }));
  return ForkedAnswer(child.pid, std::move(child.output), Clock::now() + patience);
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

void ForkedAnswer::end_child() {
  if (pid_ > 0) end_forked_child(pid_);
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
