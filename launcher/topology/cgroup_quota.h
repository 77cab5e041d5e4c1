// How much CPU time the cgroup grants, which may be far less than the CPUs that it shows.
#pragma once

#include <filesystem>
#include <optional>

namespace muster::topology {

// CPUs worth of time, the smallest along our cgroup's path; nullopt: no limit, or none that we can
// see.  `root` stands before /proc and /sys, so that tests can bring recorded ones.
std::optional<double> cgroup_cpu_quota(const std::filesystem::path& root = "/");

}  // namespace muster::topology
