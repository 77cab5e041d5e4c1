// Why no further process or thread could be started.
#pragma once

#include <filesystem>
#include <string>

namespace muster {

// "at most 64 processes in this container (pids.max), at most 200 of user 1000 (ulimit -u)": the
// limits that hold here, in a few words; "" when none is known.  `root` is another "/" in tests.
std::string process_limits(const std::filesystem::path& root = "/");

inline constexpr const char* kProcessLimitHint =
    "start fewer ranks, end other processes, or raise the limit: `ulimit -u`, the container's "
    "--pids-limit or --ulimit nproc, podPidsLimit of Kubernetes";

}  // namespace muster
