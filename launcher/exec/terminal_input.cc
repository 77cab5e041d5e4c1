#include "launcher/exec/terminal_input.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace muster::exec {
namespace {

constexpr int kBackgroundPause = 100;  // milliseconds

bool in_background() {
  const pid_t group = ::tcgetpgrp(STDIN_FILENO);
  return group >= 0 && group != ::getpgrp();
}

// Until end of input (Ctrl-D), until nobody reads, or until `stop` is hung up.
void copy_terminal(const Fd& pipe, const Fd& stop) {
  std::array<char, 4096> buffer;
  while (true) {
    pollfd watched[] = {{STDIN_FILENO, POLLIN, 0}, {stop.get(), POLLIN, 0}};
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) return;
    if (watched[1].revents != 0) return;
    if (watched[0].revents == 0) continue;
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EIO && in_background()) {
      // Typed for another job of the shell; SIGTTIN, which is blocked here, would stop us for it.
      pollfd stopped{stop.get(), POLLIN, 0};
      if (::poll(&stopped, 1, kBackgroundPause) != 0) return;
      continue;
    }
    if (got <= 0) return;
    // A rank that does not read must not keep us: wait for room and for the stop alike.
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      pollfd room[] = {{pipe.get(), POLLOUT, 0}, {stop.get(), POLLIN, 0}};
      if (::poll(room, 2, -1) < 0 && errno != EINTR) return;
      if (room[1].revents != 0) return;
      const ssize_t written = ::write(pipe.get(), rest.data(), rest.size());
      if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (written < 0) return;
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }
}

}  // namespace

Result<TerminalInput> TerminalInput::open() {
  TerminalInput input;
  if (::isatty(STDIN_FILENO) == 0) return input;
  MUSTER_TRY_ASSIGN(Pipe data, make_pipe());
  MUSTER_TRY_ASSIGN(Pipe stop, make_pipe());
  MUSTER_TRY(set_nonblocking(data.write_end, true));
  input.read_end_ = std::move(data.read_end);
  input.stop_ = std::move(stop.write_end);
  input.thread_ =
      std::thread([pipe = std::move(data.write_end), stopped = std::move(stop.read_end)] {
        copy_terminal(pipe, stopped);
      });
  return input;
}

TerminalInput::~TerminalInput() {
  stop_.reset();
  if (thread_.joinable()) thread_.join();
}

}  // namespace muster::exec
