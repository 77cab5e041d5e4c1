// What one thread leaves for another: a queue, and a descriptor that an event loop can wait for.
#pragma once

#include <sys/eventfd.h>

#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "base/fd.h"

namespace muster::link {

// All calls may come from any thread.
template <typename T>
class Mailbox {
 public:
  Mailbox() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Readable from a put() or wake() until next() has found nothing.
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

  // One at a time, so that whoever stops reading leaves the rest to the next who reads.
  std::optional<T> next() {
    const std::scoped_lock lock(mutex_);
    if (items_.empty()) {
      eventfd_t ignored = 0;
      static_cast<void>(::eventfd_read(fd_.get(), &ignored));
      return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

 private:
  void ring() const { static_cast<void>(::eventfd_write(fd_.get(), 1)); }

  const Fd fd_;
  std::mutex mutex_;
  std::deque<T> items_;
};

}  // namespace muster::link
