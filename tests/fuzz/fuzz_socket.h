// Channels that read from a socket, for targets that say something into its other end.
#pragma once

#include <sys/socket.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "tests/fuzz/fuzz_target.h"

namespace muster::fuzz {

// What the other side gets when these bytes were sent and the sender went away.
inline Fd socket_with(std::string_view bytes) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  const Fd writer(ends[0]);
  Fd reader(ends[1]);
  static_cast<void>(set_nonblocking(writer, true));
  static_cast<void>(set_nonblocking(reader, true));
  static_cast<void>(::send(writer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  return reader;
}

// Until the channel has an error or its end; `next` takes one message out of it.
template <typename Channel, typename Next>
void read_all(Channel channel, Next next) {
  while (true) {
    const auto alive = channel.receive();
    while (true) {
      const auto message = next(channel);
      if (!message) return require(!message.error().message.empty(), "an error is told");
      if (!*message) break;
    }
    if (!alive || !*alive) return;
  }
}

}  // namespace muster::fuzz
