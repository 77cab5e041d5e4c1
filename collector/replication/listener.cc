#include "collector/replication/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/unix_socket.h"

namespace muster::replication {
namespace {

constexpr int kBacklog = 1024;

Failure cannot(const Address& address, int error, std::string hint = {}) {
  const bool denied = error == EACCES || error == EPERM;
  Error made = system_error(denied ? ErrorCode::kPermission : ErrorCode::kInternal,
                            "listening on " + address.to_string(), error);
  made.hint = std::move(hint);
  return Failure(std::move(made));
}

Result<Fd> listen_at_path(const Address& address) {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  if (address.path.size() > kMaxSocketPath) {
    return fail(ErrorCode::kUsage, "the path of " + address.to_string() + " is longer than " +
                                       std::to_string(kMaxSocketPath) + " bytes");
  }
  address.path.copy(local.sun_path, address.path.size());
  const auto* name = reinterpret_cast<const sockaddr*>(&local);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return cannot(address, errno);
  if (::bind(socket.get(), name, sizeof local) != 0) {
    if (errno != EADDRINUSE) return cannot(address, errno);
    struct stat status {};
    if (::lstat(address.path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
      return cannot(address, EEXIST, "the path is taken by something else; choose another");
    }
    if (connect_unix(address.path)) {
      return cannot(address, EADDRINUSE, "another collector listens there");
    }
    // A collector that was killed left it.
    ::unlink(address.path.c_str());
    if (::bind(socket.get(), name, sizeof local) != 0) return cannot(address, errno);
  }
  // Until it listens nobody can connect, so nobody is faster than this.
  if (::chmod(address.path.c_str(), 0600) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    const int error = errno;
    ::unlink(address.path.c_str());
    return cannot(address, error);
  }
  return socket;
}

Result<Fd> listen_at_port(Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int error = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return fail(ErrorCode::kInternal,
                "listening on " + address.to_string() + ": " + ::gai_strerror(error),
                "name an address of this machine, or 0.0.0.0 for all");
  }
  Fd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const bool listens = socket &&
                       ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                       ::bind(socket.get(), found->ai_addr, found->ai_addrlen) == 0 &&
                       ::listen(socket.get(), kBacklog) == 0;
  const int error = errno;
  ::freeaddrinfo(found);
  if (!listens) {
    return cannot(address, error,
                  error == EADDRINUSE ? "take another port, or 0 for a free one" : "");
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  static_cast<void>(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size));
  address.port =
      ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                        : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  return socket;
}

std::string name_of(const sockaddr_storage& peer, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&peer), size, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "somebody";
  }
  // An IPv4 address, as a socket for both kinds shows it.
  std::string_view shown(host.data());
  if (shown.starts_with("::ffff:") && shown.find('.') != std::string_view::npos) {
    shown.remove_prefix(7);
  }
  return std::string(shown) + ":" + port.data();
}

}  // namespace

Result<Listener> Listener::open(const Address& address) {
  Address bound = address;
  MUSTER_TRY_ASSIGN(Fd socket, address.transport == Transport::kUnix ? listen_at_path(bound)
                                                                     : listen_at_port(bound));
  return Listener(std::move(bound), std::move(socket));
}

Listener::Listener(Listener&& other) noexcept = default;

Listener::~Listener() {
  if (socket_ && address_.transport == Transport::kUnix) ::unlink(address_.path.c_str());
}

Result<Listener::Stranger> Listener::accept() const {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Fd socket(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                      SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return Stranger{};
    return Failure(system_error(ErrorCode::kInternal, "accepting a connection"));
  }
  if (address_.transport != Transport::kUnix)
    return Stranger{std::move(socket), name_of(peer, size)};
  MUSTER_TRY_ASSIGN(const PeerCredentials who, peer_credentials(socket));
  if (who.uid != ::geteuid()) {
    return fail(ErrorCode::kPermission, "process " + std::to_string(who.pid) + " of user " +
                                            std::to_string(who.uid) + " is not ours");
  }
  return Stranger{std::move(socket), "pid " + std::to_string(who.pid)};
}

}  // namespace muster::replication
