#include "launcher/exec/port_lease.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::exec {
namespace {

constexpr int kLastPort = 65535;
constexpr PortRange kKubernetesNodePorts{30000, 32767};  // redirected without being bound
// What scripts bind without asking: torch's own defaults, and those of helper scripts of Azure ML.
constexpr int kPortsOfScripts[] = {6105, 12355, 23456, 29400, 29500, 54965};

struct PortGroup {
  PortRange range;
  bool ephemeral;
};

constexpr PortGroup kGroups[kPortGroups] = {
    {{49152, kLastPort}, false},  // IANA gives these to no service
    {{10000, 49151}, false},      // most services that people run by hand are below
    {{1024, kLastPort}, true},
};

// "32768\t60999", "8080,9148-9200"
std::vector<std::string> words_of(const std::filesystem::path& path) {
  auto text = read_file(path, 1 << 20);
  if (!text) return {};
  std::replace_if(
      text->begin(), text->end(), [](char c) { return c == '\t' || c == ' '; }, ',');
  std::erase(*text, '\n');
  std::vector<std::string> words = split(*text, ',');
  std::erase(words, "");
  return words;
}

std::optional<int> parse_port(std::string_view word) {
  const auto number = parse_integer(word);
  if (!number || *number < 0 || *number > kLastPort) return std::nullopt;
  return static_cast<int>(*number);
}

std::optional<PortRange> parse_range(const std::string& word) {
  const auto first = parse_port(word.substr(0, word.find('-')));
  const auto last = parse_port(word.substr(word.find('-') + 1));  // npos + 1: the whole word
  if (!first || !last || *first > *last) return std::nullopt;
  return PortRange{*first, *last};
}

// The socket whose name says that the port is taken; no descriptor when another run has that name.
// Where such names are not permitted at all, the port is still a random one that was free.
std::optional<Fd> hold_name(int port) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "muster-port-" + std::to_string(port);
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // the NUL before it: abstract
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket && ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 &&
      errno == EADDRINUSE) {
    return std::nullopt;
  }
  return socket;
}

Fd open_socket(int family, bool as_server) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (as_server) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return socket;
}

template <typename Address>
int error_of_bind(const Fd& socket, const Address& address) {
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  return ::bind(socket.get(), generic, sizeof address) == 0 ? 0 : errno;
}

// 0 when a program could bind the port on all addresses now, else the reason.  `as_server`: what
// lingers of an earlier program's connections does not count, as for any server with SO_REUSEADDR.
int error_of_use(int port, bool as_server) {
  const auto number = htons(static_cast<std::uint16_t>(port));
  if (const Fd socket = open_socket(AF_INET6, as_server)) {
    const int off = 0;
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);  // IPv4 as well
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = number;
    const int error = error_of_bind(socket, address);
    if (error != EADDRNOTAVAIL && error != EAFNOSUPPORT) return error;
  }
  const Fd socket = open_socket(AF_INET, as_server);
  if (!socket) return errno;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = number;
  return error_of_bind(socket, address);
}

Failure unusable(int port, const std::string& why) {
  return fail(ErrorCode::kResources,
              "cannot use port " + std::to_string(port) + " on this node: " + why);
}

}  // namespace

PortRules read_port_rules(const std::filesystem::path& root) {
  const auto directory = root / "proc/sys/net/ipv4";
  PortRules rules;
  if (const auto words = words_of(directory / "ip_local_port_range"); words.size() == 2) {
    if (const auto range = parse_range(words[0] + "-" + words[1])) rules.ephemeral = *range;
  }
  for (const std::string& word : words_of(directory / "ip_local_reserved_ports")) {
    if (const auto range = parse_range(word)) rules.reserved.push_back(*range);
  }
  if (const auto words = words_of(directory / "ip_unprivileged_port_start"); words.size() == 1) {
    rules.first_unprivileged = parse_port(words[0]).value_or(rules.first_unprivileged);
  }
  return rules;
}

std::vector<int> ports_of_group(const PortRules& rules, int group) {
  const auto& [range, ephemeral] = kGroups[group];
  std::vector<int> ports;
  for (int port = std::max(rules.first_unprivileged, range.first); port <= range.last; ++port) {
    const bool reserved = std::any_of(rules.reserved.begin(), rules.reserved.end(),
                                      [&](const PortRange& each) { return each.contains(port); });
    const bool of_scripts = std::find(std::begin(kPortsOfScripts), std::end(kPortsOfScripts),
                                      port) != std::end(kPortsOfScripts);
    if (!reserved && !of_scripts && !kKubernetesNodePorts.contains(port) &&
        rules.ephemeral.contains(port) == ephemeral) {
      ports.push_back(port);
    }
  }
  return ports;
}

std::optional<PortLease> PortLease::try_take(int port) {
  auto name = hold_name(port);
  // Any other error is no news of this port: a sandbox without TCP must not keep a run from
  // starting that needs none.
  if (!name || error_of_use(port, false) == EADDRINUSE) return std::nullopt;
  return PortLease(port, std::move(*name));
}

Result<PortLease> PortLease::take_any(const PortRules& rules) {
  // From a random one on: the port of a run that has just ended is seldom the next run's, so what
  // is left of that run finds nobody on it.
  std::minstd_rand random(std::random_device{}());
  for (int group = 0; group < kPortGroups; ++group) {
    std::vector<int> ports = ports_of_group(rules, group);
    if (ports.empty()) continue;
    const auto offset = static_cast<std::ptrdiff_t>(random() % ports.size());
    std::rotate(ports.begin(), ports.begin() + offset, ports.end());
    for (const int port : ports) {
      if (auto lease = try_take(port)) return std::move(*lease);
    }
  }
  return fail(ErrorCode::kResources,
              "finding a free port for MASTER_PORT: all ports of this node are used or reserved",
              "end what holds them (`ss -tan` lists it), or set MASTER_PORT in "
              "environment.variables");
}

Result<PortLease> PortLease::take(int port) {
  auto name = hold_name(port);
  if (!name) return unusable(port, "another run of muster has it");
  switch (const int error = error_of_use(port, true)) {
    case 0: return PortLease(port, std::move(*name));
    case EADDRINUSE: return unusable(port, "a program uses it");
    case EACCES:
      return unusable(port, "Permission denied: only root may bind ports below " +
                                std::to_string(read_port_rules().first_unprivileged));
    default: return unusable(port, std::strerror(error));
  }
}

}  // namespace muster::exec
