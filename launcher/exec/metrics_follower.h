// Metrics of a run that goes on: what the streams say comes into metrics.db, on a thread.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "collector/metrics/ingest.h"
#include "collector/store/run_directory.h"
#include "launcher/exec/follower.h"

namespace muster::exec {

class MetricsFollower : public Follower {
 public:
  MetricsFollower(store::RunDirectory run, metrics::Patterns patterns,
                  std::map<std::string, std::string> environment);
  ~MetricsFollower() override;

  void start() override;
  FollowerEnd finish(const FinishLimits& limits) override;

 private:
  void follow();
  void stop();
  void publish_when_due();

  store::RunDirectory run_;
  metrics::MetricsStore store_;
  metrics::Ingest ingest_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // under mutex_
  std::thread thread_;     // while it runs, the rest is its own
  std::uint64_t points_ = 0;
  std::uint64_t published_points_ = 0;
  std::chrono::steady_clock::time_point publish_after_;
  std::string failure_;  // the last look's
};

}  // namespace muster::exec
