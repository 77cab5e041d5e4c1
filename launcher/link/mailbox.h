// What one thread leaves for another: a queue, and a descriptor that an event loop can wait for.
#pragma once

#include <sys/eventfd.h>

#include <mutex>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace muster::link {

// All calls may come from any thread.
template <typename T>
class Mailbox {
 public:
  Mailbox() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Readable from the first put() or wake() until the next take().
  int fd() const { return fd_.get(); }

  void put(T item) {
    const std::scoped_lock lock(mutex_);
    items_.push_back(std::move(item));
    ring();
  }

  // There is something to see elsewhere.
  void wake() {
    const std::scoped_lock lock(mutex_);
    ring();
  }

  std::vector<T> take() {
    const std::scoped_lock lock(mutex_);
    eventfd_t ignored = 0;
    static_cast<void>(::eventfd_read(fd_.get(), &ignored));
    return std::exchange(items_, {});
  }

 private:
  void ring() const { static_cast<void>(::eventfd_write(fd_.get(), 1)); }

  const Fd fd_;
  std::mutex mutex_;
  std::vector<T> items_;
};

}  // namespace muster::link
