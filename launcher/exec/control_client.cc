#include "launcher/exec/control_client.h"

#include <cerrno>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unix_socket.h"

namespace muster::exec {
namespace {

using protocol::ControlReply;
using protocol::ControlRequest;

// Waits until `fd` has one of `events`; false at the deadline.
bool wait_for(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd watched{fd, events, 0};
    const int ready = ::poll(&watched, 1, static_cast<int>(std::max<long>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return false;
  }
}

Failure connection_ended() {
  return fail(ErrorCode::kInternal, "the launcher ended the connection");
}

Failure no_answer() {
  return fail(ErrorCode::kTimeout, "the launcher does not answer");
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::filesystem::path& socket) {
  auto connected = connect_unix(socket);
  if (!connected) {
    struct stat info {};
    const bool seen = ::stat(socket.c_str(), &info) == 0;
    const bool denied = (!seen && errno == EACCES) || (seen && ::access(socket.c_str(), W_OK) != 0);
    connected.error().code = denied ? ErrorCode::kPermission : ErrorCode::kResources;
    return Failure(std::move(connected).error());
  }
  MUSTER_TRY(set_nonblocking(*connected, true));
  const auto launcher = peer_credentials(*connected);
  return ControlClient(std::move(*connected), launcher ? launcher->pid : 0);
}

Result<protocol::RunStatus> ControlClient::status(Milliseconds timeout) {
  ControlRequest request;
  request.mutable_status();
  MUSTER_TRY_ASSIGN(const ControlReply reply, answer(request, timeout));
  return reply.status();
}

Result<protocol::CancelReply> ControlClient::cancel(bool now, Milliseconds timeout) {
  ControlRequest request;
  request.mutable_cancel()->set_now(now);
  MUSTER_TRY_ASSIGN(const ControlReply reply, answer(request, timeout));
  return reply.cancel();
}

Result<protocol::RunState> ControlClient::watch(Milliseconds timeout) {
  ControlRequest request;
  request.mutable_watch();
  MUSTER_TRY(send(request, Clock::now() + timeout));
  MUSTER_TRY_ASSIGN(const auto state, next_state(timeout));
  if (!state) return no_answer();
  return *state;
}

Result<std::optional<protocol::RunState>> ControlClient::next_state(Milliseconds timeout) {
  if (unseen_state_) return std::exchange(unseen_state_, std::nullopt);
  MUSTER_TRY_ASSIGN(const auto reply, receive(Clock::now() + timeout));
  if (!reply) return std::nullopt;
  if (!reply->has_state()) {
    return fail(ErrorCode::kInternal, "the launcher sent an answer that nobody asked for");
  }
  return reply->state();
}

Result<ControlReply> ControlClient::answer(const ControlRequest& request, Milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  MUSTER_TRY(send(request, deadline));
  while (true) {
    MUSTER_TRY_ASSIGN(auto reply, receive(deadline));
    if (!reply) return no_answer();
    if (!reply->has_state()) return std::move(*reply);
    unseen_state_ = reply->state();
  }
}

Result<> ControlClient::send(const ControlRequest& request, Clock::time_point deadline) {
  // One that refuses us has said so and closed: its reason is still to be read.
  if (!channel_.send(request)) return {};
  while (channel_.has_unsent()) {
    if (!wait_for(channel_.fd(), POLLOUT, deadline)) return no_answer();
    if (!channel_.flush()) return {};
  }
  return {};
}

Result<std::optional<ControlReply>> ControlClient::receive(Clock::time_point deadline) {
  bool ended = false;
  while (true) {
    MUSTER_TRY_ASSIGN(auto reply, channel_.next_reply());
    if (reply && reply->has_refused()) return fail(ErrorCode::kPermission, reply->refused());
    if (reply) return reply;
    if (ended) return connection_ended();
    if (!wait_for(channel_.fd(), POLLIN, deadline)) return std::nullopt;
    const auto alive = channel_.receive();
    ended = !alive || !*alive;
  }
}

}  // namespace muster::exec
