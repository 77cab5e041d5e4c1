#include "launcher/exec/node_sampler.h"

#include <algorithm>
#include <sys/statvfs.h>

#include "base/directory_entries.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/exec/process_sample.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestFile = 1U << 20;
constexpr std::size_t kRanksOfALook = 16;  // of more, they take turns
constexpr std::size_t kMostInterfaces = 8;
constexpr double kBytesOfAnInfinibandWord = 4;  // its counters count words

std::string read_or_nothing(const fs::path& path) {
  return read_file(path, kLargestFile).value_or("");
}

std::optional<double> number_in(const fs::path& path) {
  const std::string text = read_or_nothing(path);
  const auto number = parse_integer(text.substr(0, text.find('\n')));
  if (!number || *number < 0) return std::nullopt;
  return static_cast<double>(*number);
}

void add(NodeGroup& group, std::string name, std::optional<double> value, bool lasting = false) {
  if (value) group.values.push_back({std::move(name), *value, lasting});
}

void add_pressure(NodeGroup& group, const std::string& prefix, const fs::path& directory,
                  const std::string& suffix) {
  for (const std::string what : {"cpu", "memory", "io"}) {
    const Pressure pressure = parse_pressure(read_or_nothing(directory / (what + suffix)));
    add(group, prefix + what + ".some_percent", pressure.some);
    // Of the CPUs of a node `full` means nothing.
    if (what != "cpu") add(group, prefix + what + ".full_percent", pressure.full);
  }
}

// `path` below `mount` and its ancestors, the nearest first, `mount` last; only those that are
// there: inside a container the path may be the host's.
std::vector<fs::path> with_ancestors(const fs::path& mount, const std::string& path) {
  std::vector<fs::path> directories{mount};
  for (const std::string& name : split(path, '/')) {
    if (name.empty()) continue;
    std::error_code ignored;
    const fs::path next = directories.back() / name;
    if (name == ".." || !fs::is_directory(next, ignored)) break;
    directories.push_back(next);
  }
  std::reverse(directories.begin(), directories.end());
  return directories;
}

// The group whose memory runs out first: the one with the least left below its limit.
struct MemoryGroup {
  double current = 0;
  double limit = 0;
  fs::path directory;
};
std::optional<MemoryGroup> tightest(const std::vector<fs::path>& directories,
                                    const std::string& current_file, const std::string& limit_file,
                                    double physical) {
  std::optional<MemoryGroup> found;
  for (const fs::path& directory : directories) {
    const auto current = number_in(directory / current_file);
    const auto limit = number_in(directory / limit_file);                      // "max" is no number
    if (!current || !limit || (physical > 0 && *limit >= physical)) continue;  // v1's "no limit"
    if (!found || *limit - *current < found->limit - found->current) {
      found = MemoryGroup{*current, *limit, directory};
    }
  }
  return found;
}

}  // namespace

NodeSampler::NodeSampler(fs::path run_directory, std::vector<RankProcess> ranks, fs::path root)
    : run_directory_(std::move(run_directory)), ranks_(std::move(ranks)), root_(std::move(root)) {}

NodeSample NodeSampler::look(std::chrono::system_clock::time_point now,
                             std::chrono::steady_clock::time_point monotonic) {
  now_ = monotonic;
  NodeSample sample{now, {}};
  sample.groups.push_back(node());
  for (const auto more :
       {&NodeSampler::interfaces, &NodeSampler::infiniband_ports, &NodeSampler::ranks}) {
    for (NodeGroup& group : (this->*more)()) sample.groups.push_back(std::move(group));
  }
  return sample;
}

NodeGroup NodeSampler::node() {
  NodeGroup group;
  add_cpu(group);
  add_memory(group);
  add_cgroup(group);
  add_pressure(group, "pressure.", root_ / "proc/pressure", "");
  add_disks(group);
  return group;
}

void NodeSampler::add_cpu(NodeGroup& group) {
  const auto ticks = parse_cpu_ticks(text_of("proc/stat"));
  if (ticks && cpu_ && ticks->all > cpu_->all) {
    const auto percent = [&](std::uint64_t CpuTicks::*field) {
      // A kernel may set iowait back a little.
      const auto passed = (*ticks).*field - std::min((*cpu_).*field, (*ticks).*field);
      return 100 * static_cast<double>(passed) / static_cast<double>(ticks->all - cpu_->all);
    };
    const double iowait = percent(&CpuTicks::iowait);
    add(group, "cpu.percent", std::max(100 - percent(&CpuTicks::idle) - iowait, 0.0));
    add(group, "cpu.iowait_percent", iowait);
    add(group, "cpu.steal_percent", percent(&CpuTicks::steal));
  }
  if (ticks) cpu_ = ticks;
  add(group, "load.1m", parse_load(text_of("proc/loadavg")));
}

void NodeSampler::add_memory(NodeGroup& group) const {
  const auto memory = parse_meminfo(text_of("proc/meminfo"));
  const auto bytes = [&](std::string_view name) -> std::optional<double> {
    const auto found = memory.find(name);
    if (found == memory.end()) return std::nullopt;
    return static_cast<double>(found->second);
  };
  add(group, "mem.available_bytes", bytes("MemAvailable"));
  add(group, "mem.total_bytes", bytes("MemTotal"), true);
  const auto swap = bytes("SwapTotal");
  const auto swap_free = bytes("SwapFree");
  if (swap && swap_free && *swap > 0) add(group, "swap.used_bytes", *swap - *swap_free);
}

void NodeSampler::add_cgroup(NodeGroup& group) const {
  const CgroupPaths paths = parse_cgroups(text_of("proc/self/cgroup"));
  const fs::path mounts = root_ / "sys/fs/cgroup";
  const auto memory = parse_meminfo(text_of("proc/meminfo"));
  const auto total = memory.find("MemTotal");
  const double physical = total == memory.end() ? 0 : static_cast<double>(total->second);
  std::error_code ignored;
  if (paths.unified && fs::exists(mounts / "cgroup.controllers", ignored)) {
    const auto directories = with_ancestors(mounts, *paths.unified);
    if (const auto tight = tightest(directories, "memory.current", "memory.max", physical)) {
      add(group, "cgroup.mem.current_bytes", tight->current);
      add(group, "cgroup.mem.limit_bytes", tight->limit, true);
      const auto events = parse_pairs(read_or_nothing(tight->directory / "memory.events"));
      if (const auto kills = events.find("oom_kill"); kills != events.end()) {
        add(group, "cgroup.mem.oom_kills", static_cast<double>(kills->second), true);
      }
    }
    add_pressure(group, "cgroup.pressure.", directories.front(), ".pressure");
    return;
  }
  const auto path = paths.controllers.find("memory");
  if (path == paths.controllers.end()) return;
  const auto directories = with_ancestors(mounts / "memory", path->second);
  const auto tight =
      tightest(directories, "memory.usage_in_bytes", "memory.limit_in_bytes", physical);
  if (!tight) return;
  add(group, "cgroup.mem.current_bytes", tight->current);
  add(group, "cgroup.mem.limit_bytes", tight->limit, true);
  const auto control = parse_pairs(read_or_nothing(tight->directory / "memory.oom_control"));
  if (const auto kills = control.find("oom_kill"); kills != control.end()) {
    add(group, "cgroup.mem.oom_kills", static_cast<double>(kills->second), true);
  }
}

void NodeSampler::add_disks(NodeGroup& group) const {
  const auto free_of = [](const fs::path& path) -> std::optional<double> {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) return std::nullopt;
    return static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  };
  add(group, "disk.run_free_bytes", free_of(run_directory_));
  add(group, "shm.free_bytes", free_of(root_ / "dev/shm"));
}

// Those that are up and have carried anything.
std::vector<NodeGroup> NodeSampler::interfaces() {
  std::vector<NodeGroup> groups;
  for (const InterfaceCounters& each : parse_net_dev(text_of("proc/net/dev"))) {
    if (each.received_bytes + each.sent_bytes == 0 || groups.size() == kMostInterfaces) continue;
    const std::string state = text_of("sys/class/net/" + each.name + "/operstate");
    if (state.starts_with("down")) continue;
    NodeGroup group{"interface", each.name, false, {}};
    const auto per_second = [&](const std::string& name, std::uint64_t value) {
      add(group, name, rate(each.name + "/" + name, static_cast<double>(value)));
    };
    per_second("net.received_bytes_per_second", each.received_bytes);
    per_second("net.sent_bytes_per_second", each.sent_bytes);
    per_second("net.received_packets_per_second", each.received_packets);
    per_second("net.sent_packets_per_second", each.sent_packets);
    const auto sum = [](std::uint64_t a, std::uint64_t b) { return static_cast<double>(a + b); };
    add(group, "net.errors", sum(each.received_errors, each.sent_errors), true);
    add(group, "net.drops", sum(each.received_drops, each.sent_drops), true);
    groups.push_back(std::move(group));
  }
  return groups;
}

// /sys/class/infiniband/mlx5_0/ports/1/counters/*
std::vector<NodeGroup> NodeSampler::infiniband_ports() {
  std::vector<NodeGroup> groups;
  for (const fs::path& device : entries_of(root_ / "sys/class/infiniband")) {
    for (const fs::path& port : entries_of(device / "ports")) {
      if (groups.size() == kMostInterfaces) return groups;
      if (!read_or_nothing(port / "state").starts_with("4:")) continue;  // "4: ACTIVE"
      const std::string name = device.filename().string() + ":" + port.filename().string();
      NodeGroup group{"interface", name, false, {}};
      const fs::path counters = port / "counters";
      const auto bytes = [&](const char* file, const std::string& shown) {
        if (const auto words = number_in(counters / file)) {
          add(group, shown, rate(name + "/" + shown, *words * kBytesOfAnInfinibandWord));
        }
      };
      bytes("port_rcv_data", "ib.received_bytes_per_second");
      bytes("port_xmit_data", "ib.sent_bytes_per_second");
      std::optional<double> errors;
      for (const char* file : {"symbol_error", "port_rcv_errors", "link_error_recovery",
                               "port_xmit_discards", "local_link_integrity_errors"}) {
        if (const auto count = number_in(counters / file)) errors = errors.value_or(0) + *count;
      }
      add(group, "ib.errors", errors, true);
      add(group, "ib.link_downed", number_in(counters / "link_downed"), true);
      groups.push_back(std::move(group));
    }
  }
  return groups;
}

std::vector<NodeGroup> NodeSampler::ranks() {
  std::vector<NodeGroup> groups;
  if (ranks_.empty()) return groups;
  const ProcessTable processes = ProcessTable::read();
  const std::size_t count = std::min(ranks_.size(), kRanksOfALook);
  for (std::size_t at = 0; at < count; ++at, ++next_rank_) {
    const RankProcess& each = ranks_[next_rank_ % ranks_.size()];
    const TreeSample tree = processes.tree(each.pid);
    if (tree.process_count == 0) continue;  // it has ended
    const std::string number = std::to_string(each.rank);
    NodeGroup group{"rank", number, true, {}};
    if (const auto cores = rate("rank/" + number, tree.cpu_seconds)) {
      add(group, "rank.cpu_percent", 100 * *cores);
    }
    add(group, "rank.rss_bytes", static_cast<double>(tree.rss_bytes));
    groups.push_back(std::move(group));
  }
  return groups;
}

std::optional<double> NodeSampler::rate(const std::string& counter, double value) {
  const auto [at, is_new] = counters_.try_emplace(counter, value, now_);
  if (is_new) return std::nullopt;
  const auto [before, then] = std::exchange(at->second, {value, now_});
  const double seconds = std::chrono::duration<double>(now_ - then).count();
  if (seconds <= 0 || value < before) return std::nullopt;
  return (value - before) / seconds;
}

std::string NodeSampler::text_of(const std::string& file) const {
  return read_or_nothing(root_ / file);
}

}  // namespace muster::exec
