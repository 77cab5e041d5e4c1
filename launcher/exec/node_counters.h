// What the kernel's files say of a node, decoded.  Pure: text in, numbers out; what a kernel does
// not write, or writes otherwise, is missing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::exec {

// /proc/stat: ticks of all CPUs together since the boot.
struct CpuTicks {
  std::uint64_t all = 0;
  std::uint64_t idle = 0;
  std::uint64_t iowait = 0;
  std::uint64_t steal = 0;
};
std::optional<CpuTicks> parse_cpu_ticks(std::string_view stat);

// /proc/loadavg: the first number.
std::optional<double> parse_load(std::string_view loadavg);

// /proc/meminfo, in bytes by name: "MemAvailable".
std::map<std::string, std::uint64_t, std::less<>> parse_meminfo(std::string_view meminfo);

// /proc/pressure/* and cgroups' *.pressure: percent of the last ten seconds in which some task, or
// all of them, waited.
struct Pressure {
  std::optional<double> some;
  std::optional<double> full;
};
Pressure parse_pressure(std::string_view text);

// "name number" lines: memory.events, cpu.stat, memory.oom_control.
std::map<std::string, std::uint64_t, std::less<>> parse_pairs(std::string_view text);

// /proc/net/dev, without the loopback.
struct InterfaceCounters {
  std::string name;
  std::uint64_t received_bytes = 0;
  std::uint64_t received_packets = 0;
  std::uint64_t received_errors = 0;
  std::uint64_t received_drops = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t sent_packets = 0;
  std::uint64_t sent_errors = 0;
  std::uint64_t sent_drops = 0;
};
std::vector<InterfaceCounters> parse_net_dev(std::string_view text);

// /proc/self/cgroup: our path below the unified hierarchy, and below that of a v1 controller.
struct CgroupPaths {
  std::optional<std::string> unified;
  std::map<std::string, std::string> controllers;  // "memory" → "/docker/…"
};
CgroupPaths parse_cgroups(std::string_view text);

}  // namespace muster::exec
