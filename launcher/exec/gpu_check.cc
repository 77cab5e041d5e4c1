#include "launcher/exec/gpu_check.h"

#include <algorithm>

#include "base/process.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;

constexpr auto kSoon = 500ms;
constexpr auto kPatience = 10s;  // a driver that initialises sleeping GPUs takes seconds

}  // namespace

void GpuCheck::look_soon(std::function<std::vector<TrainingProcess>()> processes) {
  if (processes_) return;
  processes_ = std::move(processes);
  soon_ = loop_.at(EventLoop::Clock::now() + kSoon, [this] { ask(); });
}

void GpuCheck::ask() {
  query_ = topology::GpuUsersQuery::start(kPatience);
  if (!query_) return;
  answered_ = loop_.on_readable(query_->fd(), [this] { look_at_answer(); });
  deadline_ = loop_.at(query_->deadline(), [this] { look_at_answer(); });
}

void GpuCheck::look_at_answer() {
  const auto users = query_->answer();
  if (!users) return;
  answered_ = EventLoop::Watch();
  deadline_ = EventLoop::Watch();
  query_.reset();
  if (users->empty()) return;
  for (const TrainingProcess& process : processes_()) {
    const std::set<std::string> used = gpus_of(process.pid, *users);
    if (!used.empty()) found_(process.rank, used);
  }
}

std::set<std::string> gpus_of(pid_t root, const topology::GpuUsers& users) {
  std::vector<pid_t> processes{root};
  for (std::size_t at = 0; at < processes.size(); ++at) {
    const std::vector<pid_t> below = children_of(processes[at]);
    processes.insert(processes.end(), below.begin(), below.end());
  }
  std::set<std::string> used;
  for (const auto& [uuid, pids] : users) {
    const bool ours = std::any_of(pids.begin(), pids.end(), [&](int pid) {
      return std::find(processes.begin(), processes.end(), pid) != processes.end();
    });
    if (ours) used.insert(uuid);
  }
  return used;
}

}  // namespace muster::exec
