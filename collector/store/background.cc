#include "collector/store/background.h"

#include <csignal>
#include <sys/eventfd.h>
#include <unistd.h>

namespace muster::store {

Background::Background() : finished_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Background::submit(std::function<void()> work, std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(work), std::move(then)});
  }
  if (!thread_.joinable()) {
    // Signals are for the main thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  changed_.notify_all();
}

void Background::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    works_ = true;
    lock.unlock();
    job.work();
    lock.lock();
    works_ = false;
    finished_.push_back(std::move(job.then));
    changed_.notify_all();
    const std::uint64_t one = 1;
    static_cast<void>(::write(finished_fd_.get(), &one, sizeof one));
  }
}

void Background::run_finished() {
  std::uint64_t count = 0;
  static_cast<void>(::read(finished_fd_.get(), &count, sizeof count));
  std::deque<std::function<void()>> finished;
  {
    const std::lock_guard lock(mutex_);
    finished.swap(finished_);
  }
  for (auto& then : finished) then();
}

void Background::wait() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !finished_.empty() || (waiting_.empty() && !works_); });
  }
  run_finished();
}

}  // namespace muster::store
