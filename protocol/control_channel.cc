#include "protocol/control_channel.h"

#include <array>
#include <utility>

#include "base/unix_socket.h"

namespace muster::protocol {

Result<> ControlChannel::send(const ControlRequest& request) {
  return send_frame(FrameType::kControlRequest, request.SerializeAsString());
}

Result<> ControlChannel::send(const ControlReply& reply) {
  return send_frame(FrameType::kControlReply, reply.SerializeAsString());
}

Result<> ControlChannel::send_frame(FrameType type, std::string payload) {
  Frame frame;
  frame.type = type;
  frame.payload = std::move(payload);
  const std::string bytes = encode(frame);
  if (has_unsent() && unsent_bytes() + bytes.size() > kMaxUnsent) {
    return fail(ErrorCode::kInternal, "the other side of a control connection does not read: " +
                                          std::to_string(unsent_bytes()) +
                                          " bytes wait for it already");
  }
  outgoing_.erase(0, std::exchange(sent_, 0));
  outgoing_ += bytes;
  return flush();
}

Result<> ControlChannel::flush() {
  while (has_unsent()) {
    MUSTER_TRY_ASSIGN(const std::size_t sent,
                      send_some(socket_, std::string_view(outgoing_).substr(sent_), {}));
    if (sent == 0) return {};
    sent_ += sent;
  }
  outgoing_.clear();
  sent_ = 0;
  return {};
}

Result<bool> ControlChannel::receive() {
  std::array<char, 1 << 14> buffer;
  MUSTER_TRY_ASSIGN(const Received received, receive_some(socket_, buffer));
  reader_.append({buffer.data(), received.bytes});
  return !received.end;
}

Result<std::optional<ControlRequest>> ControlChannel::next_request() {
  return next_message<ControlRequest>(FrameType::kControlRequest);
}

Result<std::optional<ControlReply>> ControlChannel::next_reply() {
  return next_message<ControlReply>(FrameType::kControlReply);
}

template <typename Message>
Result<std::optional<Message>> ControlChannel::next_message(FrameType type) {
  MUSTER_TRY_ASSIGN(const std::optional<Frame> frame, reader_.next());
  if (!frame) return std::nullopt;
  Message message;
  if (frame->type != type || !message.ParseFromString(frame->payload)) {
    return fail(ErrorCode::kInternal, "a message on the control socket cannot be read");
  }
  return message;
}

}  // namespace muster::protocol
