// Writes node_metrics/<node>.jsonl while ranks run: how this node fares, every few seconds.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "launcher/exec/follower.h"
#include "launcher/exec/node_sampler.h"
#include "launcher/topology/gpu_watch.h"

namespace muster::exec {

struct NodeMetricsOptions {
  std::string node;                     // the host's name, as it stands in the lines
  std::filesystem::path file;           // node_metrics/<node>.jsonl
  std::filesystem::path run_directory;  // whose disk is looked at
  std::chrono::milliseconds interval{10'000};
  std::map<std::string, int> gpus;  // by UUID: the number that the run knows it by; empty: none
  std::function<std::vector<RankProcess>()> ranks;  // that have started; asked at start()
  std::function<void(const std::string&)> notice;   // from any thread
};

class NodeMetricsFollower : public Follower {
 public:
  explicit NodeMetricsFollower(NodeMetricsOptions options) : options_(std::move(options)) {}
  ~NodeMetricsFollower() override;

  void start() override;
  bool owns(pid_t pid) const override { return pid == gpu_child_; }
  FollowerEnd finish(const FinishLimits& limits) override;

 private:
  void work();
  // Sleeps; false: the run ends.
  bool wait_for(std::chrono::milliseconds time);
  void add_gpus(NodeSample& sample);
  bool append(const std::string& lines);
  void stop();

  NodeMetricsOptions options_;
  std::vector<RankProcess> ranks_;
  std::optional<topology::GpuWatch> gpus_;
  std::atomic<pid_t> gpu_child_ = -1;
  std::optional<std::chrono::steady_clock::time_point> gpus_told_;
  bool gpu_silence_said_ = false;
  Fd file_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable ending_changed_;
  bool ending_ = false;
};

}  // namespace muster::exec
