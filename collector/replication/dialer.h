// Connecting to a collector: when to try again, and which of a name's addresses to try.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/fd.h"
#include "collector/replication/address.h"
#include "muster/result.h"

namespace muster::replication {

// Waits grow at random from 0.1 s to 4 s (decorrelated jitter), so that those whom one event threw
// off do not come back in one wave.
class Backoff {
 public:
  // Any number from 0 to below its argument.
  using Random = std::function<std::uint64_t(std::uint64_t)>;
  explicit Backoff(Random random) : random_(std::move(random)) {}

  std::chrono::milliseconds next();
  void reset() { last_ = kLeast; }

  static constexpr std::chrono::milliseconds kLeast{100};
  static constexpr std::chrono::milliseconds kMost{4000};

 private:
  Random random_;
  std::chrono::milliseconds last_ = kLeast;
};

// One try: all addresses of the name in order, each with a time of its own.  Looking up the name
// may block.
class Dialer {
 public:
  using Done = std::function<void(Result<Fd>)>;
  // Calls `done` once, from the loop; destroying the dialer gives up.
  Dialer(EventLoop& loop, Address address, std::chrono::milliseconds limit_of_each, Done done);

 private:
  struct Target {
    int family = 0;
    std::string bytes;  // a sockaddr
  };

  Result<std::vector<Target>> find_targets() const;
  void try_next();
  void on_connected();
  void finish(Result<Fd> result);

  EventLoop& loop_;
  Address address_;
  std::chrono::milliseconds limit_;
  Done done_;
  std::vector<Target> targets_;
  std::size_t next_target_ = 0;
  std::string last_trouble_;
  Fd socket_;
  EventLoop::Watch writable_;
  EventLoop::Watch timer_;
};

// What a connection of any side wants of its TCP socket; nothing of a UNIX one.
void tune_socket(const Fd& socket);

}  // namespace muster::replication
