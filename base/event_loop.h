// The launcher's one event loop: descriptors and timers on one thread.  Asio does the work behind
// it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace muster {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;

  // Stops calling back when it is destroyed.
  class Watch {
   public:
    Watch() = default;
    ~Watch();
    Watch(Watch&&) noexcept;
    Watch& operator=(Watch&&) noexcept;
    explicit operator bool() const { return state_ != nullptr; }

   private:
    friend class EventLoop;
    struct State;
    explicit Watch(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  EventLoop();
  ~EventLoop();

  // Calls back every time that `fd` is readable (or writable).  The caller keeps the descriptor
  // open for as long as the Watch lives; it is made non-blocking.
  Watch on_readable(int fd, std::function<void()> callback);
  Watch on_writable(int fd, std::function<void()> callback);

  // Calls back once at `when`; destroying the Watch cancels.
  Watch at(Clock::time_point when, std::function<void()> callback);

  // From any thread: calls back once, on the loop's own, in the order of the posts.
  void post(std::function<void()> callback);

  // Runs until stop() is called from a callback.
  void run();
  void stop();

 private:
  enum class Direction { kRead, kWrite };
  Watch watch(int fd, Direction direction, std::function<void()> callback);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
