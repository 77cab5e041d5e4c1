#include "launcher/link/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstring>

namespace muster::link {

std::optional<SocketAddress> socket_address(std::string_view address, std::uint16_t port) {
  SocketAddress made;
  if (address.size() == sizeof(in_addr)) {
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_port = htons(port);
    std::memcpy(&target.sin_addr, address.data(), address.size());
    std::memcpy(&made.storage, &target, sizeof target);
    made.size = sizeof target;
    return made;
  }
  if (address.size() == sizeof(in6_addr)) {
    sockaddr_in6 target{};
    target.sin6_family = AF_INET6;
    target.sin6_port = htons(port);
    std::memcpy(&target.sin6_addr, address.data(), address.size());
    std::memcpy(&made.storage, &target, sizeof target);
    made.size = sizeof target;
    return made;
  }
  return std::nullopt;
}

std::string in_text(std::string_view address) {
  if (address.size() != sizeof(in_addr) && address.size() != sizeof(in6_addr)) return "?";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = address.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  const char* shown = ::inet_ntop(family, address.data(), text.data(), text.size());
  return shown == nullptr ? "?" : shown;
}

std::string address_bytes(const sockaddr_storage& socket) {
  if (socket.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(socket).sin_addr;
    return {reinterpret_cast<const char*>(&address), sizeof address};
  }
  if (socket.ss_family != AF_INET6) return {};
  const auto& address = reinterpret_cast<const sockaddr_in6&>(socket).sin6_addr;
  const std::string bytes(reinterpret_cast<const char*>(&address), sizeof address);
  return IN6_IS_ADDR_V4MAPPED(&address) ? bytes.substr(12) : bytes;
}

namespace {

std::string end_of(int socket, int (*name)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (name(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  return address_bytes(storage);
}

}  // namespace

std::string own_end(int socket) {
  return end_of(socket, [](int fd, sockaddr* address, socklen_t* size) {
    return ::getsockname(fd, address, size);
  });
}

std::string other_end(int socket) {
  return end_of(socket, [](int fd, sockaddr* address, socklen_t* size) {
    return ::getpeername(fd, address, size);
  });
}

}  // namespace muster::link
