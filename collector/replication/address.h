// Where a collector listens: unix:PATH, tcp:HOST:PORT, tls:HOST:PORT.  An IPv6 address stands in
// brackets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "muster/result.h"

namespace muster::replication {

enum class Transport { kUnix, kTcp, kTls };

struct Address {
  Transport transport = Transport::kUnix;
  std::string path;  // of a UNIX socket
  std::string host;  // a name or an address
  std::uint16_t port = 0;

  std::string to_string() const;  // parses back to the same
  friend bool operator==(const Address&, const Address&) = default;
};

// Errors: kUsage, with the forms there are.  Port 0 is for listeners: a free one.
Result<Address> parse_address(std::string_view text);

}  // namespace muster::replication
