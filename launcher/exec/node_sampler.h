// Looks at this node: CPUs, memory, pressure, disks, network, ranks.  Thin: it reads files and
// keeps what the next look is compared with.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "launcher/exec/node_counters.h"
#include "launcher/exec/node_sample.h"

namespace muster::exec {

struct RankProcess {
  int rank = 0;
  pid_t pid = 0;  // of the training process
};

class NodeSampler {
 public:
  // `root` stands before /proc, /sys and /dev.
  NodeSampler(std::filesystem::path run_directory, std::vector<RankProcess> ranks,
              std::filesystem::path root = "/");

  // Rates are since the look before; the first look has none.
  NodeSample look(std::chrono::system_clock::time_point now,
                  std::chrono::steady_clock::time_point monotonic);

 private:
  NodeGroup node();
  void add_cpu(NodeGroup& group);
  void add_memory(NodeGroup& group) const;
  void add_cgroup(NodeGroup& group) const;
  void add_disks(NodeGroup& group) const;
  std::vector<NodeGroup> interfaces();
  std::vector<NodeGroup> infiniband_ports();
  std::vector<NodeGroup> ranks();
  // Per second since the look before; nullopt the first time, and when the counter went back.
  std::optional<double> rate(const std::string& counter, double value);
  std::string text_of(const std::string& file) const;

  std::filesystem::path run_directory_;
  std::vector<RankProcess> ranks_;
  std::filesystem::path root_;
  std::optional<CpuTicks> cpu_;
  std::map<std::string, std::pair<double, std::chrono::steady_clock::time_point>> counters_;
  std::size_t next_rank_ = 0;
  std::chrono::steady_clock::time_point now_;
};

}  // namespace muster::exec
