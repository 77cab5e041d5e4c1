#include "protocol/node_channel.h"

#include <array>
#include <fcntl.h>

#include "base/unix_socket.h"

namespace muster::protocol {

Result<> NodeChannel::send(const AgentMessage& message) {
  return send_frame(FrameType::kAgentMessage, message.SerializeAsString(), {});
}

Result<> NodeChannel::send(const LauncherMessage& message, const std::vector<int>& fds) {
  return send_frame(FrameType::kLauncherMessage, message.SerializeAsString(), fds);
}

Result<> NodeChannel::send_frame(FrameType type, std::string payload, const std::vector<int>& fds) {
  if (payload.size() > kMaxControlPayload) {
    return fail(ErrorCode::kResources, "the environment and arguments of a rank have " +
                                           std::to_string(payload.size()) + " bytes, at most " +
                                           std::to_string(kMaxControlPayload) + " are allowed");
  }
  if (fds.size() > kMaxDescriptorsPerSend) {
    return fail(ErrorCode::kInternal, std::to_string(fds.size()) + " descriptors with one message");
  }
  Outgoing outgoing;
  Frame frame;
  frame.type = type;
  frame.payload = std::move(payload);
  outgoing.bytes = encode(frame);
  for (const int fd : fds) {
    outgoing.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!outgoing.fds.back()) {
      return Failure(system_error(ErrorCode::kResources, "duplicating a descriptor"));
    }
  }
  outgoing_.push_back(std::move(outgoing));
  return flush();
}

Result<> NodeChannel::flush() {
  while (!outgoing_.empty()) {
    Outgoing& next = outgoing_.front();
    std::vector<int> fds;
    for (const Fd& fd : next.fds) fds.push_back(fd.get());
    const std::string_view rest = std::string_view(next.bytes).substr(next.sent);
    MUSTER_TRY_ASSIGN(const std::size_t sent, send_some(socket_, rest, fds));
    if (sent == 0) return {};
    next.fds.clear();  // they went with the first byte
    next.sent += sent;
    if (next.sent == next.bytes.size()) outgoing_.pop_front();
  }
  return {};
}

Result<bool> NodeChannel::receive() {
  std::array<char, 1 << 14> buffer;
  MUSTER_TRY_ASSIGN(Received received, receive_some(socket_, buffer));
  reader_.append({buffer.data(), received.bytes});
  for (Fd& fd : received.fds) fds_.push_back(std::move(fd));
  return !received.end;
}

Result<std::optional<AgentMessage>> NodeChannel::next_agent_message() {
  return next_message<AgentMessage>(FrameType::kAgentMessage);
}

Result<std::optional<LauncherMessage>> NodeChannel::next_launcher_message() {
  return next_message<LauncherMessage>(FrameType::kLauncherMessage);
}

template <typename Message>
Result<std::optional<Message>> NodeChannel::next_message(FrameType type) {
  MUSTER_TRY_ASSIGN(const std::optional<Frame> frame, reader_.next());
  if (!frame) return std::nullopt;
  Message message;
  if (frame->type != type || !message.ParseFromString(frame->payload)) {
    return fail(ErrorCode::kInternal, "a message on the node's socket cannot be read");
  }
  return message;
}

}  // namespace muster::protocol
