// IP addresses as the messages between launchers have them: 4 or 16 bytes in network order.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muster::link {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// nullopt: neither 4 nor 16 bytes.
std::optional<SocketAddress> socket_address(std::string_view address, std::uint16_t port);
// "10.0.0.7", "fd00::7"; "?" for anything else.
std::string in_text(std::string_view address);
// Of an IPv4 address that an IPv6 socket shows ("::ffff:10.0.0.7"), the IPv4 address; "" where it
// is no IP address.
std::string address_bytes(const sockaddr_storage& socket);
// Both ends of a connection; "" where they are no IP addresses.
std::string own_end(int socket);
std::string other_end(int socket);

}  // namespace muster::link
