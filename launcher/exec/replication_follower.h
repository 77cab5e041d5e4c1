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
  // The same, where the record takes nothing more.
  std::function<void(const std::string& line)> show;
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
  // Everything but what the launcher itself tells of the run.
  FollowerEnd finish(const FinishLimits& limits) override;
  FollowerEnd finish_record(const FinishLimits& limits) override;

 private:
  ReplicationFollower(store::RunDirectory run, DeliverySettings settings,
                      DeliveryListener listener);
  Result<> begin(replication::StoreSenderSettings sender);
  void told(const replication::SendProgress& progress);
  void tell_held_up(const replication::SendProgress& progress);
  void say_held_up(const std::string& reason);  // "": no more
  void say(const std::string& line);
  // Waits until that is so, or cannot be, or nobody wants to wait any longer.
  replication::SendProgress wait_until(const std::function<bool(const replication::SendProgress&)>&,
                                       const FinishLimits& limits);
  FollowerEnd end_of(const replication::SendProgress& progress);
  std::string lost_text(const replication::SendProgress& progress) const;
  std::string not_taken(const replication::SendProgress& progress) const;
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
  bool held_up_ = false;
  bool held_up_said_ = false;
  std::optional<std::chrono::steady_clock::time_point> has_room_since_;
  std::optional<std::chrono::steady_clock::time_point> held_up_said_at_;
  std::uint64_t lost_there_ = 0;  // that was told
  bool waited_ = false;
  bool cannot_free_ = false;
  bool record_is_closed_ = false;  // a line in it would stay here

  std::chrono::steady_clock::time_point until_;       // of the whole delivery
  std::uint64_t refused_count_ = 0;                   // that finish() has told
  std::unique_ptr<replication::StoreSender> sender_;  // goes first
};

}  // namespace muster::exec
