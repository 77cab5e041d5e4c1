// A receiver with its disk, and the connections that end there.  With an upstream it is a relay:
// what it stores is sent on, by one sender for each writer.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collector/replication/receiver.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/network.h"

namespace muster::simulation {

// Somebody with a Sender, who may end at any moment.
struct Client {
  virtual ~Client() = default;

  std::string name;
  std::unique_ptr<replication::Sender> sender;
  bool has_bulk = false;
  bool alive = true;
  replication::Time retry_at[2] = {};
  int connections[2] = {0, 0};  // that its side believes in
};

struct Connection {
  std::shared_ptr<Client> client;
  replication::LinkRole role{};
  replication::LinkNumber link = 0;
  std::uint64_t site_start = 0;  // of the receiver that took it
  Pipe up;
  Pipe down;
  bool client_open = true;
  bool site_open = true;
  std::optional<replication::Time> site_closes_at;  // its last words are on their way
};

class Site {
 public:
  Site(std::string site_name, Judge& judge, Random& random, Disk::Oracle oracle,
       replication::ReceiverLimits receiver_limits, std::int64_t clock_offset)
      : name(std::move(site_name)),
        disk(name, judge, random, std::move(oracle)),
        limits(receiver_limits),
        clock_offset_(clock_offset),
        judge_(judge) {
    start();
  }

  void start() {
    ++starts;
    receiver = std::make_unique<replication::Receiver>(
        disk, limits, [this] { return wall(judge_, clock_offset_); });
    judge_.trace([&] { return name + ": starts"; });
  }

  static std::int64_t wall(const Judge& judge, std::int64_t offset) {
    return 1'700'000'000'000'000'000 + judge.now.time_since_epoch().count() + offset;
  }

  std::string name;
  Disk disk;
  replication::ReceiverLimits limits;
  std::unique_ptr<replication::Receiver> receiver;  // nullptr: it is not running
  std::uint64_t starts = 0;
  replication::Time up_at{};
  replication::Time slow_until{};
  std::vector<std::unique_ptr<Connection>> connections;

 private:
  std::int64_t clock_offset_;
  Judge& judge_;
};

}  // namespace muster::simulation
