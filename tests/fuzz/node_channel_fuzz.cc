// NodeChannel: what a process that can reach node.sock may say, behind a frame that is right.  The
// first byte of an input is the frame's type, the rest its payload.

#include "protocol/node_channel.h"
#include "tests/fuzz/fuzz_socket.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  if (size == 0) return 0;
  protocol::Frame frame;
  frame.type = static_cast<protocol::FrameType>(data[0]);
  frame.payload = fuzz::text_of(data, size).substr(1);
  const std::string bytes = protocol::encode(frame);
  fuzz::read_all(protocol::NodeChannel(fuzz::socket_with(bytes)),
                 [](auto& channel) { return channel.next_agent_message(); });
  fuzz::read_all(protocol::NodeChannel(fuzz::socket_with(bytes)),
                 [](auto& channel) { return channel.next_launcher_message(); });
  return 0;
}
