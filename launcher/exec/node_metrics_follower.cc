// A run that ends within the first second leaves no file, costs no thread of work, and asks no
// driver.  A look takes a millisecond; the file is opened for appending with the first one.
#include "launcher/exec/node_metrics_follower.h"

#include <algorithm>
#include <fcntl.h>

#include "base/files.h"
#include "base/signals.h"
#include "base/text.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kFirst = 1s;
constexpr auto kGpuSilence =
    60s;  // beyond this, and three intervals, it is worth a line in the log

bool is_lasting(const std::string& name) {
  return name == "gpu.memory_total_bytes" || name == "gpu.power_limit_watts" ||
         name == "gpu.throttle_reasons" || name.starts_with("gpu.ecc_") ||
         name == "gpu.pcie_replays" || name == "gpu.nvlink_errors";
}

}  // namespace

NodeMetricsFollower::~NodeMetricsFollower() {
  stop();
}

void NodeMetricsFollower::start() {
  if (options_.ranks) ranks_ = options_.ranks();
  const auto library = options_.gpus.empty() ? std::nullopt : topology::nvml_to_watch();
  if (library) {
    if (auto watch = topology::GpuWatch::start(*library, kFirst, options_.interval)) {
      gpu_child_ = watch->pid();
      gpus_.emplace(std::move(*watch));
    }
  }
  const AllSignalsBlocked blocked;
  thread_ = std::thread([this] { work(); });
}

FollowerEnd NodeMetricsFollower::finish(const FinishLimits&) {
  stop();
  return {};
}

void NodeMetricsFollower::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ending_changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  gpus_.reset();
  gpu_child_ = -1;
}

bool NodeMetricsFollower::wait_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !ending_changed_.wait_for(lock, time, [this] { return ending_; });
}

void NodeMetricsFollower::work() {
  if (!wait_for(kFirst)) return;
  NodeSampler sampler(options_.run_directory, ranks_);
  NodeSampleWriter writer(options_.node);
  gpus_told_ = Clock::now();
  // Rates need two looks: the first lines then have them.
  sampler.look(std::chrono::system_clock::now(), Clock::now());
  if (!wait_for(std::min<std::chrono::milliseconds>(options_.interval, 250ms))) return;
  while (true) {
    NodeSample sample = sampler.look(std::chrono::system_clock::now(), Clock::now());
    add_gpus(sample);
    const std::string lines = writer.lines(sample);
    if (!append(lines)) return;
    if (!wait_for(pause_after(lines.size(), options_.interval))) return;
  }
}

void NodeMetricsFollower::add_gpus(NodeSample& sample) {
  if (!gpus_) return;
  const auto readings = gpus_->newest();
  if (!readings) {
    const auto patience = std::max<Clock::duration>(kGpuSilence, 3 * options_.interval);
    const bool silent = Clock::now() - *gpus_told_ >= patience;
    if (gpu_silence_said_ || (!silent && !gpus_->ended())) return;
    gpu_silence_said_ = true;
    options_.notice(gpus_->ended() ? "node metrics: NVML cannot be asked how the GPUs fare"
                                   : "node metrics: NVML has not said how the GPUs fare for " +
                                         format_duration(Clock::now() - *gpus_told_));
    return;
  }
  gpus_told_ = Clock::now();
  gpu_silence_said_ = false;
  for (const topology::GpuReading& reading : *readings) {
    const auto known = options_.gpus.find(reading.uuid);
    if (known == options_.gpus.end()) continue;  // not of this run's part of the node
    NodeGroup group{"gpu", std::to_string(known->second), true, {}};
    for (const auto& [name, value] : reading.values) {
      group.values.push_back({name, value, is_lasting(name)});
    }
    sample.groups.push_back(std::move(group));
  }
}

// A disk that is full is told by the streams; these lines are then missing.
bool NodeMetricsFollower::append(const std::string& lines) {
  if (!file_) {
    if (!make_directories(options_.file.parent_path())) return false;
    auto opened = open_file(options_.file, O_WRONLY | O_CREAT | O_APPEND);
    if (!opened) {
      options_.notice("node metrics are not written: " + opened.error().message);
      return false;
    }
    file_ = std::move(*opened);
  }
  if (const auto written = write_all(file_, lines); !written) {
    options_.notice("node metrics end here: " + written.error().message);
    return false;
  }
  return true;
}

}  // namespace muster::exec
