// Asks NVML how the GPUs fare, every few seconds for as long as it lives.
//
// In a child that keeps NVML initialised, since doing so anew can take seconds.  A call that hangs
// means that nothing is told until it comes back; a crash ends the child and nothing else.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "launcher/topology/forked_child.h"
#include "launcher/topology/gpu_reading.h"

namespace muster::topology {

class GpuWatch {
 public:
  // `library` as of ask_nvml(); the first reading comes after `first`.  From the main thread.
  static Result<GpuWatch> start(const std::string& library, std::chrono::milliseconds first,
                                std::chrono::milliseconds interval);

  GpuWatch(GpuWatch&& other) noexcept;
  GpuWatch& operator=(GpuWatch&&) = delete;
  ~GpuWatch();

  pid_t pid() const { return pid_; }
  // The newest reading since the last question; nullopt: there is none.  Never blocks.
  std::optional<std::vector<GpuReading>> newest();
  // Nothing more will come: the library is missing, refuses, or has crashed.
  bool ended() const { return ended_; }

 private:
  explicit GpuWatch(ForkedChild child) : pid_(child.pid), output_(std::move(child.output)) {}

  pid_t pid_ = 0;
  Fd output_;
  std::string text_;  // the line that is not whole yet
  bool ended_ = false;
};

// The library to ask on this node: what the variable MUSTER_NVML_LIBRARY names, the system's where
// there is a driver; nullopt: no GPU of NVIDIA's is here.
std::optional<std::string> nvml_to_watch();

}  // namespace muster::topology
