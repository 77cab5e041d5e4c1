#include "base/unix_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

namespace muster {
namespace {

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() > kMaxSocketPath) {
    return fail(ErrorCode::kInternal, "socket path " + text + " has " +
                                          std::to_string(text.size()) + " bytes, at most " +
                                          std::to_string(kMaxSocketPath) + " fit");
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

const sockaddr* as_sockaddr(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Result<Fd> listen_unix(const std::filesystem::path& path, int backlog) {
  MUSTER_TRY_ASSIGN(const sockaddr_un address, address_of(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::bind(socket.get(), as_sockaddr(address), sizeof address) != 0 ||
      ::listen(socket.get(), backlog) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "listening on " + path.string()));
  }
  return socket;
}

Result<Fd> connect_unix(const std::filesystem::path& path) {
  MUSTER_TRY_ASSIGN(const sockaddr_un address, address_of(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), as_sockaddr(address), sizeof address) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "connecting to " + path.string()));
  }
  return socket;
}

Result<Fd> accept_unix(const Fd& listener) {
  Fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return socket;
  return Failure(system_error(ErrorCode::kInternal, "accepting a connection"));
}

Result<PeerCredentials> peer_credentials(const Fd& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "asking who connected"));
  }
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<std::size_t> send_some(const Fd& socket, std::string_view bytes, std::span<const int> fds) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptorsPerSend * sizeof(int))] = {};
  if (!fds.empty()) {
    const std::size_t size = std::min(fds.size(), kMaxDescriptorsPerSend) * sizeof(int);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), fds.data(), size);
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno == EAGAIN) return std::size_t{0};
  return Failure(system_error(ErrorCode::kInternal, "sending to the node's socket"));
}

Result<Received> receive_some(const Fd& socket, std::span<char> buffer) {
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptorsPerSend * sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);

  Received received;
  if (got < 0) {
    if (errno == EAGAIN) return received;
    if (errno == ECONNRESET) {
      received.end = true;
      return received;
    }
    return Failure(system_error(ErrorCode::kInternal, "receiving from the node's socket"));
  }
  received.bytes = static_cast<std::size_t>(got);
  received.end = got == 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  return received;
}

}  // namespace muster
