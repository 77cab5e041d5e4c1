// The other end of a run's control socket, with a limit on every wait.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "muster/result.h"
#include "protocol/control_channel.h"

namespace muster::exec {

class ControlClient {
 public:
  using Milliseconds = std::chrono::milliseconds;

  // Errors: kPermission, the socket may not be used; kResources, it is not there or nobody listens.
  static Result<ControlClient> connect(const std::filesystem::path& socket);

  // Errors: kPermission, the launcher refuses, with its reason; kTimeout, it does not answer;
  // kInternal, the connection broke.
  Result<protocol::RunStatus> status(Milliseconds timeout);
  Result<protocol::CancelReply> cancel(bool now, Milliseconds timeout);
  // The state now; next_state() tells what follows.
  Result<protocol::RunState> watch(Milliseconds timeout);
  // The next change; nullopt: none came in that time.
  Result<std::optional<protocol::RunState>> next_state(Milliseconds timeout);

  int fd() const { return channel_.fd(); }
  // Of the process that listens, as this pid namespace numbers it; 0 when it is not in it.
  pid_t launcher_pid() const { return launcher_pid_; }

 private:
  using Clock = std::chrono::steady_clock;

  ControlClient(Fd socket, pid_t launcher_pid)
      : channel_(std::move(socket), protocol::ControlChannel::Side::kClient),
        launcher_pid_(launcher_pid) {}

  Result<> send(const protocol::ControlRequest& request, Clock::time_point deadline);
  // The next reply, or nullopt at the deadline.
  Result<std::optional<protocol::ControlReply>> receive(Clock::time_point deadline);
  // The next reply that is no change of the state; those are for next_state().
  Result<protocol::ControlReply> answer(const protocol::ControlRequest& request,
                                        Milliseconds timeout);

  protocol::ControlChannel channel_;
  pid_t launcher_pid_ = 0;
  std::optional<protocol::RunState> unseen_state_;
};

}  // namespace muster::exec
