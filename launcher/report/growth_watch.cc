#include "launcher/report/growth_watch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace muster::report {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPolling = std::chrono::milliseconds(30);

// False: the reader of the output has gone.  (A file or a terminal that is there reports nothing.)
bool poll_for(int inotify, int output, Clock::duration length, bool& told) {
  const auto end = Clock::now() + length;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd watched[2] = {{inotify, POLLIN, 0}, {output, 0, 0}};
    const int ready = ::poll(watched, 2, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0 && (watched[1].revents & (POLLERR | POLLHUP)) != 0) return false;
    told = ready > 0 && (watched[0].revents & POLLIN) != 0;
    if (told || left <= 0) return true;
  }
}

}  // namespace

GrowthWatch::GrowthWatch(int output_fd)
    : output_fd_(output_fd), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  polling_ = !inotify_;
}

void GrowthWatch::add_file(const std::filesystem::path& file) {
  if (polling_) return;
  if (::inotify_add_watch(inotify_.get(), file.c_str(), IN_MODIFY) < 0) polling_ = true;
}

void GrowthWatch::add_directory(const std::filesystem::path& directory) {
  if (polling_) return;
  if (::inotify_add_watch(inotify_.get(), directory.c_str(), IN_MOVED_TO) < 0) polling_ = true;
}

bool GrowthWatch::wait(std::chrono::milliseconds most) {
  told_ = false;
  const auto length = polling_ ? std::min(most, kPolling) : most;
  const bool reader = poll_for(inotify_.get(), output_fd_, length, told_);
  if (told_) take_events();
  return reader;
}

bool GrowthWatch::pause(Clock::duration length) {
  bool told = false;
  return poll_for(-1, output_fd_, length, told);
}

bool GrowthWatch::take_events() {
  bool any = false;
  alignas(inotify_event) char events[16 * 1024];
  while (inotify_) {
    const ssize_t length = ::read(inotify_.get(), events, sizeof events);
    if (length <= 0) break;
    any = true;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(length);) {
      inotify_event event;
      std::memcpy(&event, events + at, sizeof event);
      new_name_ = new_name_ || (event.mask & IN_MOVED_TO) != 0;
      at += sizeof event + event.len;
    }
  }
  return any;
}

void GrowthWatch::note_growth() {
  // It may have grown after the wait, and that is told now.
  if (!told_ && !take_events()) polling_ = true;
}

}  // namespace muster::report
