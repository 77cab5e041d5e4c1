// Networks and addresses of IPv4 and IPv6, in bytes as the kernel has them.  Pure.
#pragma once

#include <compare>
#include <optional>
#include <string>

namespace muster {

struct IpNetwork {
  std::string base;  // 4 or 16 bytes, in network order; 0 behind the prefix
  unsigned prefix = 0;

  std::string text() const;  // "10.0.0.0/24"
  // Whether an address, 4 or 16 bytes, is in it.
  bool has(const std::string& address) const;
  friend auto operator<=>(const IpNetwork&, const IpNetwork&) = default;
};

// The network of an address of 4 or 16 bytes.
IpNetwork ip_network_of(std::string address, unsigned prefix);

// "10.0.0.0/24", "fd00::/64"; an address alone, "10.0.0.4", is a network of one.
std::optional<IpNetwork> parse_ip_network(const std::string& text);

// "10.0.0.4", "fd00::4"; of other than 4 or 16 bytes, how many there are.
std::string ip_text(const std::string& address);

}  // namespace muster
