// NodeChannel: what a process that can reach node.sock may say, behind a frame that is right.  The
// first byte of an input is the frame's type, the rest its payload.

#include <sys/socket.h>

#include "base/fd.h"
#include "protocol/node_channel.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster;

template <typename Next>
void read_all(Fd socket, Next next) {
  protocol::NodeChannel channel(std::move(socket));
  while (true) {
    const auto alive = channel.receive();
    while (true) {
      const auto message = next(channel);
      if (!message) return fuzz::require(!message.error().message.empty(), "an error is told");
      if (!*message) break;
    }
    if (!alive || !*alive) return;
  }
}

// What the other side gets when these bytes were sent and the sender went away.
Fd socket_with(std::string_view bytes) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  const Fd writer(ends[0]);
  Fd reader(ends[1]);
  static_cast<void>(set_nonblocking(writer, true));
  static_cast<void>(set_nonblocking(reader, true));
  static_cast<void>(::send(writer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  return reader;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  protocol::Frame frame;
  frame.type = static_cast<protocol::FrameType>(data[0]);
  frame.payload = fuzz::text_of(data, size).substr(1);
  const std::string bytes = protocol::encode(frame);
  read_all(socket_with(bytes), [](auto& channel) { return channel.next_agent_message(); });
  read_all(socket_with(bytes), [](auto& channel) { return channel.next_launcher_message(); });
  return 0;
}
