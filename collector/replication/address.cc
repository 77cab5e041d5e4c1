#include "collector/replication/address.h"

#include "base/text.h"

namespace muster::replication {
namespace {

Failure refused(std::string_view text, const std::string& why) {
  return fail(ErrorCode::kUsage,
              "`" + without_controls(std::string(text)) + "` is no address of a collector: " + why,
              "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT, an IPv6 address in brackets");
}

}  // namespace

std::string Address::to_string() const {
  if (transport == Transport::kUnix) return "unix:" + path;
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return (transport == Transport::kTls ? "tls:" : "tcp:") + shown + ":" + std::to_string(port);
}

Result<Address> parse_address(std::string_view text) {
  Address address;
  const std::size_t colon = text.find(':');
  const std::string_view scheme = text.substr(0, colon);
  if (colon == std::string_view::npos) return refused(text, "it has no scheme");
  std::string_view rest = text.substr(colon + 1);
  if (rest.find('\0') != std::string_view::npos) return refused(text, "it has a NUL");
  if (scheme == "unix") {
    if (rest.empty()) return refused(text, "the path is missing");
    address.path = rest;
    return address;
  }
  if (scheme != "tcp" && scheme != "tls") return refused(text, "its scheme is unknown");
  address.transport = scheme == "tls" ? Transport::kTls : Transport::kTcp;
  const std::size_t last = rest.rfind(':');
  if (last == std::string_view::npos) return refused(text, "the port is missing");
  std::string_view host = rest.substr(0, last);
  const auto port = parse_integer(std::string(rest.substr(last + 1)));
  if (!port || *port < 0 || *port > 65535) return refused(text, "its port is no number to 65535");
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refused(text, "its host has colons");
  }
  if (host.empty()) return refused(text, "the host is missing");
  address.host = host;
  address.port = static_cast<std::uint16_t>(*port);
  return address;
}

}  // namespace muster::replication
