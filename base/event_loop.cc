#include "base/asio.h"

#include "base/event_loop.h"

#include <fcntl.h>

#include <optional>

#include "base/fd.h"

namespace muster {
namespace asio = boost::asio;

struct EventLoop::Impl {
  asio::io_context context{1};  // one thread: no locks
};

// Kept alive by the pending operation as well as by the Watch, so that a callback may destroy its
// own Watch.
struct EventLoop::Watch::State : std::enable_shared_from_this<EventLoop::Watch::State> {
  std::function<void()> callback;
  Fd duplicate;  // of a descriptor that is watched for writing
  std::optional<asio::posix::stream_descriptor> descriptor;
  std::optional<asio::steady_timer> timer;
  asio::posix::stream_descriptor::wait_type wait = asio::posix::stream_descriptor::wait_read;
  bool cancelled = false;

  void arm() {
    descriptor->async_wait(wait,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                             if (error || self->cancelled) return;
                             self->callback();
                             if (!self->cancelled) self->arm();
                           });
  }

  void cancel() {
    cancelled = true;
    if (descriptor) descriptor->release();  // deregisters and leaves the descriptor open
    descriptor.reset();
    duplicate.reset();
    if (timer) timer->cancel();
  }
};

EventLoop::Watch::~Watch() {
  if (state_) state_->cancel();
}

EventLoop::Watch::Watch(Watch&& other) noexcept = default;

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    if (state_) state_->cancel();
    state_ = std::move(other.state_);
    other.state_.reset();
  }
  return *this;
}

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

EventLoop::Watch EventLoop::on_readable(int fd, std::function<void()> callback) {
  return watch(fd, Direction::kRead, std::move(callback));
}

EventLoop::Watch EventLoop::on_writable(int fd, std::function<void()> callback) {
  return watch(fd, Direction::kWrite, std::move(callback));
}

EventLoop::Watch EventLoop::watch(int fd, Direction direction, std::function<void()> callback) {
  auto state = std::make_shared<Watch::State>();
  state->callback = std::move(callback);
  if (direction == Direction::kWrite) {
    // epoll knows a descriptor once, and this one may be watched for reading too.
    state->duplicate.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    fd = state->duplicate.get();
  }
  state->descriptor.emplace(impl_->context, fd);
  state->descriptor->non_blocking(true);
  if (direction == Direction::kWrite) state->wait = asio::posix::stream_descriptor::wait_write;
  state->arm();
  return Watch(state);
}

EventLoop::Watch EventLoop::at(Clock::time_point when, std::function<void()> callback) {
  auto state = std::make_shared<Watch::State>();
  state->callback = std::move(callback);
  state->timer.emplace(impl_->context, when);
  state->timer->async_wait([state](const boost::system::error_code& error) {
    if (!error && !state->cancelled) state->callback();
  });
  return Watch(state);
}

void EventLoop::post(std::function<void()> callback) {
  asio::post(impl_->context, std::move(callback));
}

void EventLoop::run() {
  const auto keep_running = asio::make_work_guard(impl_->context);
  impl_->context.restart();
  impl_->context.run();
}

void EventLoop::stop() {
  impl_->context.stop();
}

}  // namespace muster
