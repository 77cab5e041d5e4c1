#include "base/ip_network.h"

#include <algorithm>
#include <arpa/inet.h>

#include "base/text.h"

namespace muster {

std::string IpNetwork::text() const {
  return ip_text(base) + "/" + std::to_string(prefix);
}

bool IpNetwork::has(const std::string& address) const {
  return address.size() == base.size() && ip_network_of(address, prefix).base == base;
}

IpNetwork ip_network_of(std::string address, unsigned prefix) {
  for (std::size_t i = 0; i < address.size(); ++i) {
    const int left = static_cast<int>(prefix) - static_cast<int>(i) * 8;
    const auto mask = 0xFF00U >> static_cast<unsigned>(std::clamp(left, 0, 8));
    address[i] = static_cast<char>(static_cast<unsigned char>(address[i]) & mask & 0xFFU);
  }
  return {std::move(address), prefix};
}

std::optional<IpNetwork> parse_ip_network(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  for (const int family : {AF_INET, AF_INET6}) {
    std::string bytes(family == AF_INET ? 4 : 16, '\0');
    if (::inet_pton(family, address.c_str(), bytes.data()) != 1) continue;
    const auto most = static_cast<std::int64_t>(bytes.size() * 8);
    const auto prefix = slash == text.npos ? most : parse_integer(text.substr(slash + 1));
    if (!prefix || *prefix < 0 || *prefix > most) return std::nullopt;
    return ip_network_of(bytes, static_cast<unsigned>(*prefix));
  }
  return std::nullopt;
}

std::string ip_text(const std::string& address) {
  char text[INET6_ADDRSTRLEN] = {};
  const int family = address.size() == 4 ? AF_INET : AF_INET6;
  if ((address.size() != 4 && address.size() != 16) ||
      ::inet_ntop(family, address.data(), text, sizeof text) == nullptr) {
    return "an address of " + counted(static_cast<std::int64_t>(address.size()), "byte");
  }
  return text;
}

}  // namespace muster
