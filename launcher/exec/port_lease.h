// A TCP port of this node that is one run's for as long as its launcher lives: MASTER_PORT, and
// whatever else its ranks are told.
//
// Rank 0's program binds the port itself, seconds after the start (it imports torch first) and
// perhaps more than once, so two things must hold until then: no other run is told the same port,
// and nothing else is given it by chance.
//
// The first: the launcher holds an abstract UNIX socket named after the port.  Such names belong to
// the network namespace, exactly as ports do, so users and containers that share ports see the same
// names; the kernel frees a name with its process, however that ends; and no file is left.
//
// The second: the port lies outside of what the kernel hands out by itself, to a bind to port 0 or
// to an outgoing connection.  Holding the port with a socket of our own instead would not do: a
// program that binds without SO_REUSEADDR would be refused its own port.
#pragma once

#include <filesystem>
#include <optional>
#include <random>
#include <vector>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::exec {

struct PortRange {
  int first = 0;
  int last = 0;  // the range's last, not one past it
  bool contains(int port) const { return first <= port && port <= last; }
  bool operator==(const PortRange&) const = default;
};

// What this network namespace does with ports, from /proc/sys/net/ipv4.
struct PortRules {
  PortRange ephemeral{32768, 60999};  // handed out by the kernel
  std::vector<PortRange> reserved;    // kept by the administrator for some service
  int first_unprivileged = 1024;
};

// Unreadable or strange files leave the defaults.  `root` for tests.
PortRules read_port_rules(const std::filesystem::path& root = "/");

// Ports to choose from, in groups; the first group that has a free one gives it.  The last is the
// ephemeral range itself, for hosts where hardly anything lies outside: there a port can still be
// lost to another program in the moments before rank 0 binds it, but not to another run.
inline constexpr int kPortGroups = 3;
std::vector<int> ports_of_group(const PortRules& rules, int group);

class PortLease {
 public:
  // A port that nothing on this node uses now.
  static Result<PortLease> take_any(const PortRules& rules);
  // This one; fails with kResources when another run holds it or a program uses it.
  static Result<PortLease> take(int port);

  PortLease() = default;

  int port() const { return port_; }

 private:
  PortLease(int port, Fd name) : port_(port), name_(std::move(name)) {}
  static std::optional<PortLease> try_take(int port);

  int port_ = 0;
  Fd name_;
};

}  // namespace muster::exec
