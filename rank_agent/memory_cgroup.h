// The memory cgroup of a process, version 1 or 2: where its files are and what they say.
//
// The kernel counts an OOM kill in the cgroup that the killed process is in, whichever limit was
// hit; so a process's own cgroup tells, and its ancestors only tell whose limit it was.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "muster/result.h"

namespace muster::agent {

struct MemoryCgroup {
  int version = 1;
  std::string path;       // as /proc/PID/cgroup has it: "/docker/ab"
  std::string directory;  // of its files
  std::string top;        // the mount's directory: the highest that can be seen

  friend bool operator==(const MemoryCgroup&, const MemoryCgroup&) = default;
};

struct OomKillCount {
  std::uint64_t own = 0;    // in the cgroup itself
  std::uint64_t below = 0;  // in cgroups below it; version 1 does not say
};

struct MemoryLimit {
  std::uint64_t bytes = 0;
  std::uint64_t peak_bytes = 0;  // 0: not known
  std::string cgroup;            // which one has it, as `path`
};

// The number after `key` in lines of "key number", as memory.oom_control and memory.events are.
std::optional<std::uint64_t> counter(std::string_view text, std::string_view key);

// Of the process whose /proc directory is `process` ("self", "1234").  `root` stands before /proc
// and /sys, so that tests can bring recorded ones.
Result<MemoryCgroup> memory_cgroup(const std::string& process, const std::string& root = "");

Result<OomKillCount> oom_kills(const MemoryCgroup& cgroup);

// The smallest limit that binds it, its own or an ancestor's.
std::optional<MemoryLimit> memory_limit(const MemoryCgroup& cgroup);

}  // namespace muster::agent
