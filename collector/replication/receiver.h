// The receiving side of replication, without input or output.  One Receiver for all runs of a
// store; connections are authenticated by now, and their peer's words about itself are known.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/replication/replica_store.h"
#include "collector/replication/sender.h"
#include "muster/result.h"

namespace muster::replication {

using LinkNumber = std::uint64_t;  // of one receiver, never used twice

struct ReceiverLimits {
  std::uint64_t memory = 64U << 20;    // credit given out to all links together, in bytes
  std::uint32_t streams = 16'384;      // open ones of a link
  std::uint32_t payload = 256U << 10;  // of a DATA frame
  // Bytes become durable at the latest so long after they came, or when so many wait for it.
  std::chrono::milliseconds sync_interval{1000};
  std::uint64_t sync_bytes = 64U << 20;
};

struct ReceiverTotals {
  std::uint64_t bytes = 0;          // of streams, that were stored
  std::uint64_t bytes_trimmed = 0;  // that were here already
  std::uint64_t rewinds = 0;
  std::uint64_t syncs = 0;
};

class Receiver {
 public:
  Receiver(ReplicaStore& store, ReceiverLimits limits = {}, WallClock clock = system_wall_clock);
  ~Receiver();

  // A link that comes replaces its writer's one before in its role, and ends those of older epochs.
  // One that is not admitted is told so and closed.
  LinkNumber link_up(const store::Writer& writer, LinkRole role, Time now);
  void link_down(LinkNumber link, Time now);
  // An Error: close the connection, after its output has gone.
  Result<> receive(LinkNumber link, std::string_view bytes, Time now);
  std::string take_output(LinkNumber link, std::size_t most, Time now);
  // Links whose connection is to be closed once their output has gone, with the reason.
  std::vector<std::pair<LinkNumber, std::string>> take_closed();
  std::optional<Time> deadline() const;
  void tick(Time now);
  // Says goodbye to all links, who may come again: for an orderly end.
  void shut_down(std::string_view reason, std::chrono::milliseconds retry_after);

  const ReceiverTotals& totals() const;
  std::size_t buffered_bytes() const;  // of frames, in both directions: bounded

 private:
  struct State;
  std::shared_ptr<State> state_;  // a sync that ends later looks whether it is still there
};

}  // namespace muster::replication
