// Who uses which GPU, by NVML: for the check after the start.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/topology/forked_answer.h"

namespace muster::topology {

// Process ids by UUID of the GPU or instance; a GPU that nobody uses is not in it.
using GpuUsers = std::map<std::string, std::vector<int>>;

// Asks in a short-lived child, and waits for it at most that long.  Empty where there is no NVML,
// where it does not tell us, or when it does not answer.  In a container the ids may be those of
// another PID namespace, or missing.  From the main thread.
GpuUsers gpu_users(std::chrono::milliseconds patience = std::chrono::seconds(5),
                   const std::map<std::string, std::string>& environment = {});

// The same for an event loop: watch fd(), and call answer() when it is readable or the deadline is
// over.
class GpuUsersQuery {
 public:
  // nullopt where there is no sign of an NVIDIA driver, or no process could be started.
  static std::optional<GpuUsersQuery> start(
      std::chrono::milliseconds patience,
      const std::map<std::string, std::string>& environment = {});

  pid_t pid() const { return asked_.pid(); }  // of the child: nobody else's to reap
  int fd() const { return asked_.fd(); }
  std::chrono::steady_clock::time_point deadline() const { return asked_.deadline(); }
  void wait() { asked_.wait(); }
  // nullopt: not yet.
  std::optional<GpuUsers> answer();

 private:
  explicit GpuUsersQuery(ForkedAnswer asked) : asked_(std::move(asked)) {}

  ForkedAnswer asked_;
};

}  // namespace muster::topology
