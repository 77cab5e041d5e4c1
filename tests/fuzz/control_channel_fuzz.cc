// ControlChannel: what any process of this user may say to a launcher, and whatever listens on a
// socket that run.json names may answer, behind a frame that is right.  The first byte of an input
// is the frame's type, the rest its payload.

#include "protocol/control_channel.h"
#include "tests/fuzz/fuzz_socket.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  using protocol::ControlChannel;
  if (size == 0) return 0;
  protocol::Frame frame;
  frame.type = static_cast<protocol::FrameType>(data[0]);
  frame.payload = fuzz::text_of(data, size).substr(1);
  const std::string bytes = protocol::encode(frame);
  fuzz::read_all(ControlChannel(fuzz::socket_with(bytes), ControlChannel::Side::kLauncher),
                 [](auto& channel) { return channel.next_request(); });
  fuzz::read_all(ControlChannel(fuzz::socket_with(bytes), ControlChannel::Side::kClient),
                 [](auto& channel) { return channel.next_reply(); });
  return 0;
}
