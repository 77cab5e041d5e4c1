// One connection to a launcher's control socket: requests one way, replies the other.  It never
// waits, and holds no more unsent bytes than it was allowed to.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/fd.h"
#include "control.pb.h"
#include "protocol/frame.h"

namespace muster::protocol {

class ControlChannel {
 public:
  static constexpr std::size_t kMaxRequest = 4096;
  static constexpr std::size_t kMaxReply = 64U << 20;  // a status of 100,000 ranks has 15 MiB
  // Several statuses of a thousand ranks; a reader that is this far behind does not read.
  static constexpr std::size_t kMaxUnsent = 1U << 20;

  enum class Side { kLauncher, kClient };

  // Takes a non-blocking socket.
  ControlChannel(Fd socket, Side side)
      : socket_(std::move(socket)), reader_(side == Side::kLauncher ? kMaxRequest : kMaxReply) {}

  int fd() const { return socket_.get(); }

  // Queues one message and sends what the socket takes.  An error: the peer is gone, or the queue
  // would outgrow its bound; the connection is useless then.
  Result<> send(const ControlRequest& request);
  Result<> send(const ControlReply& reply);
  Result<> flush();
  std::size_t unsent_bytes() const { return outgoing_.size() - sent_; }
  bool has_unsent() const { return unsent_bytes() > 0; }

  // Reads what is there.  False: the peer is gone and nothing more will come.
  Result<bool> receive();
  // Messages that receive() completed, in order; nullopt when there is none left.
  Result<std::optional<ControlRequest>> next_request();
  Result<std::optional<ControlReply>> next_reply();

 private:
  Result<> send_frame(FrameType type, std::string payload);
  template <typename Message>
  Result<std::optional<Message>> next_message(FrameType type);

  Fd socket_;
  FrameReader reader_;
  std::string outgoing_;
  std::size_t sent_ = 0;
};

}  // namespace muster::protocol
