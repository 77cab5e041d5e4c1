// Work that may take its time (a disk that syncs), off the thread that must not wait; what follows
// from it is done on that thread again.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/fd.h"

namespace muster::store {

class Background {
 public:
  Background();
  ~Background();  // waits for what runs; what has not begun is dropped
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // One after the other.  `then` is called by run_finished().
  void submit(std::function<void()> work, std::function<void()> then);

  // Readable when something is finished: for an event loop.
  int fd() const { return finished_fd_.get(); }
  void run_finished();
  // Waits until something is finished or nothing is left to do, and runs what follows.
  void wait();

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> then;
  };
  void run();

  Fd finished_fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> waiting_;
  std::deque<std::function<void()>> finished_;
  bool works_ = false;
  bool stop_ = false;
  std::thread thread_;  // started with the first job
};

}  // namespace muster::store
