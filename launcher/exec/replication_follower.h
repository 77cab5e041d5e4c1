// Sends what a run stores to its collector while the run goes on, keeps the bound of its streams,
// and delivers the rest when the run is over.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "collector/replication/store_sender.h"
#include "launcher/exec/follower.h"

namespace muster::exec {

// Who is told, from any thread.
struct DeliveryListener {
  // "collector_connected", "collector_lost", "collector_refused", "streams_dropped", …
  std::function<void(const std::string& event, const std::string& why, std::uint64_t unsent)> event;
  std::function<void(const std::string& line)> say;  // to whoever looks at the console
  std::function<void(const replication::SendProgress&)> progress;
};

struct DeliverySettings {
  std::string collector;                    // its address; "" without one
  std::chrono::milliseconds drain_timeout;  // for what is left when the run is over
  std::string sync_command;                 // what delivers it later
};

class ReplicationFollower : public Follower {
 public:
  // With a collector it begins at once: what is prepared before the ranks start is worth seeing,
  // too.
  static Result<std::unique_ptr<ReplicationFollower>> create(
      store::RunDirectory run, replication::StoreSenderSettings sender, DeliverySettings settings,
      DeliveryListener listener);

  void start() override;
  void grown() override;
  Stage stage() const override { return Stage::kDelivery; }
  FollowerEnd finish(const FinishLimits& limits) override;

 private:
  ReplicationFollower(store::RunDirectory run, DeliverySettings settings,
                      DeliveryListener listener);
  Result<> begin(replication::StoreSenderSettings sender);
  void told(const replication::SendProgress& progress);
  replication::SendProgress deliver(const FinishLimits& limits);
  FollowerEnd end_of(const replication::SendProgress& progress);
  std::string where_it_is(const replication::SendProgress& progress);

  const store::RunDirectory run_;
  const DeliverySettings settings_;
  const DeliveryListener listener_;
  std::optional<replication::StoreSenderSettings> later_;  // of a bound alone

  std::mutex mutex_;  // guards what follows: told() comes from the sender's threads
  bool connected_ = false;
  bool said_absent_ = false;
  bool refused_ = false;
  bool superseded_ = false;
  bool dropped_ = false;
  bool waited_ = false;
  bool cannot_free_ = false;

  std::unique_ptr<replication::StoreSender> sender_;  // goes first
};

}  // namespace muster::exec
