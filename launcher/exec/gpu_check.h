// Which GPUs the processes of each rank use, by NVML, once after the start.
//
// The driver is asked in a child (launcher/topology), and the loop goes on meanwhile.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/topology/gpu_users.h"

namespace muster::exec {

struct TrainingProcess {
  int rank = 0;
  int pid = 0;
};

class GpuCheck {
 public:
  // Told of every rank that uses a GPU: UUIDs.
  using Found = std::function<void(int rank, const std::set<std::string>& uuids)>;

  GpuCheck(EventLoop& loop, Found found) : loop_(loop), found_(std::move(found)) {}

  // A moment from now, so that one question serves all ranks that ask at about the same time.  Once
  // a run: later calls do nothing.  `processes` says who is there then.
  void look_soon(std::function<std::vector<TrainingProcess>()> processes);

  // Whether it is the child that asks.
  bool owns(pid_t pid) const { return query_ && query_->pid() == pid; }

 private:
  void ask();
  void look_at_answer();

  EventLoop& loop_;
  Found found_;
  std::function<std::vector<TrainingProcess>()> processes_;
  std::optional<topology::GpuUsersQuery> query_;
  EventLoop::Watch soon_;
  EventLoop::Watch answered_;
  EventLoop::Watch deadline_;
};

// Of the GPUs that the process or anything below it uses.  In another PID namespace than the
// driver's none is found.
std::set<std::string> gpus_of(pid_t root, const topology::GpuUsers& users);

}  // namespace muster::exec
