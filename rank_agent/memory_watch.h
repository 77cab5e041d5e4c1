// What the kernel counted and logged about memory between a rank's start and its end.
#pragma once

#include <chrono>
#include <optional>
#include <sys/types.h>

#include "node.pb.h"
#include "rank_agent/kernel_log.h"
#include "rank_agent/memory_cgroup.h"

namespace muster::agent {

class MemoryWatch {
 public:
  // Notes where the counters stand, before the training process starts in this process's cgroup.
  void begin();

  // The same for what takes longer, the machine's counter and the kernel's log, right after the
  // start.  What happens between the two is still counted in the cgroup.
  void began();

  // Whether the training process has been moved to another cgroup (a wrapper may do that); asked
  // while it lives, because version 1 forgets the cgroup of a process that has ended.
  void look(pid_t training);

  // Asked every few seconds while it lives: a kill that was counted long before the end was
  // another process's.
  void look_at_count(pid_t training);

  // After its end.
  protocol::MemoryFacts facts(bool killed);

 private:
  struct Look {
    std::uint64_t kills = 0;
    std::chrono::steady_clock::time_point at;
  };

  void watch(Result<MemoryCgroup> cgroup);

  Result<MemoryCgroup> cgroup_ = fail(ErrorCode::kInternal, "it was not looked for");
  bool moved_ = false;  // away from this process's cgroup
  OomKillCount before_;
  Look latest_;
  Look earlier_;  // the one before: the kill that ends a process may be counted before the latest
  std::optional<std::uint64_t> machine_before_;
  KernelLog log_;
};

}  // namespace muster::agent
