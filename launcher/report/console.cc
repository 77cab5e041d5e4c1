#include "launcher/report/console.h"

#include <stdexcept>
#include <sys/eventfd.h>
#include <utility>

#include "base/signals.h"
#include "launcher/report/console_follower.h"

namespace muster::report {
namespace {

std::shared_ptr<ConsoleState> make_state(const ConsoleOptions& options) {
  Result<Deadline> deadline = Deadline::create();
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!deadline || !wake) throw std::runtime_error("starting the console: out of descriptors");
  return std::make_shared<ConsoleState>(options, std::move(wake), std::move(*deadline));
}

void run_thread(const std::shared_ptr<ConsoleState>& state) {
  ConsoleFollower(*state).run();
  const std::lock_guard lock(state->mutex);
  state->done = true;
  state->progress.notify_all();
}

bool selects(ConsoleMode mode, int rank, ConsoleSide side) {
  switch (mode) {
    case ConsoleMode::kRank0: return rank == 0;
    case ConsoleMode::kAll: return true;
    case ConsoleMode::kErrors: return side == ConsoleSide::kStderr;
    case ConsoleMode::kNone: return false;
  }
  return false;
}

}  // namespace

Console::Console(ConsoleOptions options) : state_(make_state(options)) {
  const AllSignalsBlocked blocked;  // signals are the main thread's business
  thread_ = std::thread([state = state_] { run_thread(state); });
}

Console::~Console() {
  finish(std::chrono::seconds(1));
}

void Console::follow(int rank, std::filesystem::path stdout_log, std::filesystem::path stderr_log,
                     From from) {
  {
    const std::lock_guard lock(state_->mutex);
    const auto add = [&](ConsoleSide side, std::filesystem::path& file) {
      if (!selects(state_->options.mode, rank, side)) return;
      state_->follow_requests.push_back({rank, side, std::move(file), from == From::kNow});
    };
    add(ConsoleSide::kStdout, stdout_log);
    add(ConsoleSide::kStderr, stderr_log);
  }
  state_->notify();
}

void Console::grown() {
  state_->notify();
}

void Console::redraw() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->redraw = true;
  }
  state_->notify();
}

void Console::suspend(std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->mutex);
  state_->suspended = true;
  const std::uint64_t asked = ++state_->asked;
  state_->notify();
  state_->progress.wait_for(lock, timeout, [&] { return state_->done || state_->shown >= asked; });
}

void Console::resume() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->suspended = false;
  }
  state_->notify();
}

void Console::set_status(std::string text) {
  {
    const std::lock_guard lock(state_->mutex);
    if (text == state_->status) return;
    state_->status = std::move(text);
  }
  state_->notify();
}

void Console::print(std::string line) {
  if (line.empty() || line.back() != '\n') line += '\n';
  {
    const std::lock_guard lock(state_->mutex);
    state_->print_requests.push_back({std::chrono::steady_clock::now(), std::move(line)});
  }
  state_->notify();
}

bool Console::finish(std::string last_line, std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->mutex);
  if (!thread_.joinable()) return state_->everything_shown;
  const auto deadline = Deadline::Clock::now() + timeout;
  if (!last_line.empty()) {
    if (last_line.back() != '\n') last_line += '\n';
    state_->print_requests.push_back({std::chrono::steady_clock::now(), std::move(last_line)});
  }
  state_->deadline.set(deadline);
  // The thread sees the deadline by itself, unless the kernel holds it in a write.
  const auto patience = deadline + std::chrono::milliseconds(100);
  const bool done = state_->progress.wait_until(lock, patience, [&] { return state_->done; });
  if (!done) state_->everything_shown = false;
  const bool shown = state_->everything_shown;
  lock.unlock();

  if (done) {
    thread_.join();
  } else {
    thread_.detach();
  }
  return shown;
}

}  // namespace muster::report
