// One connection between a launcher and an agent: messages out, messages in, descriptors beside
// them.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "node.pb.h"
#include "protocol/frame.h"

namespace muster::protocol {

inline constexpr const char* kNodeSocketVariable = "MUSTER_NODE_SOCKET";  // path of node.sock
inline constexpr const char* kAgentRankVariable = "MUSTER_AGENT_RANK";  // set by the direct starter

class NodeChannel {
 public:
  explicit NodeChannel(Fd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }

  // Queues one message and sends what the socket takes.  The descriptors are duplicated, so the
  // caller may close its own at once.
  Result<> send(const AgentMessage& message);
  Result<> send(const LauncherMessage& message, const std::vector<int>& fds = {});
  // Sends what an earlier send() could not.
  Result<> flush();
  bool has_unsent() const { return !outgoing_.empty(); }

  // Reads what is there.  False: the peer is gone and nothing more will come.
  Result<bool> receive();
  // Messages that receive() completed, in order; nullopt when there is none left.
  Result<std::optional<AgentMessage>> next_agent_message();
  Result<std::optional<LauncherMessage>> next_launcher_message();
  // Descriptors that came so far, in order.
  std::vector<Fd> take_fds() { return std::exchange(fds_, {}); }

 private:
  struct Outgoing {
    std::string bytes;
    std::size_t sent = 0;
    std::vector<Fd> fds;
  };

  template <typename Message>
  Result<std::optional<Message>> next_message(FrameType type);
  Result<> send_frame(FrameType type, std::string payload, const std::vector<int>& fds);

  Fd socket_;
  FrameReader reader_;
  std::vector<Fd> fds_;
  std::deque<Outgoing> outgoing_;
};

}  // namespace muster::protocol
