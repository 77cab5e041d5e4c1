#include "rank_agent/placement_seen.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <tuple>
#include <unistd.h>
#include <vector>

#include "base/cpu_set.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "rank_agent/binding.h"
#include "rank_agent/memory_policy.h"
#include "rank_agent/outcome.h"

namespace muster::agent {
namespace {

constexpr std::size_t kStatusBytes = 1U << 16;
constexpr int kMostThreads = 4096;  // looked at, of all processes together
constexpr std::size_t kMostTold = 8;

std::string process_directory(pid_t pid) {
  return "/proc/" + std::to_string(pid);
}

// "0-3" of "Cpus_allowed_list:\t0-3\n".
std::string field_of(const std::string& status, const std::string& name) {
  const std::size_t at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + name.size() + 3;
  return status.substr(begin, status.find('\n', begin) - begin);
}

// A read of a few bytes ends after the first mapping, the program's own file: the kernel walks no
// large heap for it.
std::string policy_of_process(pid_t pid) {
  const Fd file(::open((process_directory(pid) + "/numa_maps").c_str(), O_RDONLY | O_CLOEXEC));
  char line[80];
  const ssize_t got = file ? ::read(file.get(), line, sizeof line) : -1;
  return got > 0 ? policy_of_mapping({line, static_cast<std::size_t>(got)}) : "";
}

std::string named_policy(const std::string& name, const std::string& nodes) {
  return nodes.empty() ? name : name + ":" + nodes;
}

protocol::PlacementSeen see_process(pid_t pid) {
  protocol::PlacementSeen seen;
  seen.set_seen_at_ns(realtime_ns());
  const std::string status =
      read_file(process_directory(pid) + "/status", kStatusBytes).value_or("");
  const std::string cpus = field_of(status, "Cpus_allowed_list");
  seen.set_cpus(cpus.empty() ? read_affinity(pid) : cpus);
  seen.set_memory_nodes(field_of(status, "Mems_allowed_list"));
  return seen;
}

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(
      ::opendir((process_directory(pid) + "/task").c_str()), &::closedir);
  if (!entries) return threads;
  while (const dirent* entry = ::readdir(entries.get())) {
    if (const auto tid = parse_integer(entry->d_name)) threads.push_back(static_cast<pid_t>(*tid));
  }
  return threads;
}

struct OtherMask {
  pid_t pid = 0;
  pid_t tid = 0;
  std::string cpus;
  int cpu_count = 0;
};

// The rank's threads whose mask is not `mask`.
std::vector<OtherMask> other_masks(const std::string& mask) {
  std::vector<OtherMask> found;
  // The training process is one of them, with what it left to itself.
  std::vector<pid_t> processes = children_of_this_process();
  int looked_at = 0;
  for (std::size_t at = 0; at < processes.size(); ++at) {
    const pid_t pid = processes[at];
    for (const pid_t tid : threads_of(pid)) {
      if (++looked_at > kMostThreads) return found;
      const std::string cpus = read_affinity(tid);
      if (cpus.empty() || cpus == mask) continue;
      found.push_back({pid, tid, cpus, CpuSet::parse(cpus).value_or(CpuSet()).count()});
    }
    const std::vector<pid_t> below = children_of(pid);
    processes.insert(processes.end(), below.begin(), below.end());
  }
  return found;
}

std::string name_of(const OtherMask& thread) {
  std::string name =
      read_file(process_directory(thread.pid) + "/task/" + std::to_string(thread.tid) + "/comm", 64)
          .value_or("");
  if (name.ends_with('\n')) name.pop_back();
  return name;
}

}  // namespace

std::string policy_of_mapping(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos ||
      line.substr(0, space).find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return "";
  }
  line.remove_prefix(space + 1);
  constexpr std::string_view kMany = "prefer (many)";
  const bool many = line.starts_with(kMany);
  std::string_view name = many ? kMany : line.substr(0, line.find_first_of(" :=\n"));
  std::string_view rest = line.substr(name.size());
  // "bind=static:0-1": how the nodes are counted is no news.
  rest = rest.substr(0, rest.find_first_of(" \n"));
  const std::size_t colon = rest.find(':');
  const std::string nodes(colon == std::string_view::npos ? "" : rest.substr(colon + 1));
  if (name.starts_with("prefer")) name = "preferred";
  return named_policy(std::string(name), nodes);
}

protocol::PlacementSeen see_placement(pid_t training) {
  protocol::PlacementSeen seen = see_process(training);
  std::string policy = read_memory_policy();
  seen.set_memory_policy(policy.empty() ? policy_of_process(training) : std::move(policy));
  return seen;
}

protocol::PlacementSeen see_placement_again(pid_t training, const std::string& mask_at_start) {
  protocol::PlacementSeen seen = see_process(training);
  seen.set_memory_policy(policy_of_process(training));
  std::vector<OtherMask> others = other_masks(mask_at_start);
  // Processes before their threads: what a process starts inherits from the thread that starts it.
  std::sort(others.begin(), others.end(), [](const OtherMask& a, const OtherMask& b) {
    return std::tuple(a.cpu_count, a.pid != a.tid, a.pid, a.tid) <
           std::tuple(b.cpu_count, b.pid != b.tid, b.pid, b.tid);
  });
  seen.set_narrowed_count(static_cast<int>(others.size()));
  for (std::size_t at = 0; at < std::min(others.size(), kMostTold); ++at) {
    protocol::NarrowedThread& told = *seen.add_narrowed();
    told.set_pid(others[at].pid);
    told.set_tid(others[at].tid);
    told.set_name(name_of(others[at]));
    told.set_cpus(others[at].cpus);
  }
  return seen;
}

}  // namespace muster::agent
