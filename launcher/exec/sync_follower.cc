#include "launcher/exec/sync_follower.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <linux/ioprio.h>
#include <mutex>
#include <sys/syscall.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "base/signals.h"
#include "base/text.h"
#include "base/time_text.h"
#include "collector/store/group_sync.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kFirst = 1s;
constexpr Clock::duration kBetween = 5s;
constexpr int kRest = 4;         // times as long as a sync took
constexpr auto kPatience = 10s;  // with the last one
constexpr auto kLook = 20ms;

// What ranks read and write comes first.
void take_second_place() {
  constexpr int kLowest = 7;
  ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, kLowest));
}

}  // namespace

struct SyncFollower::State {
  explicit State(store::RunDirectory run) : sync(std::move(run)) {}

  store::GroupSync sync;  // the thread's, until it has ended
  std::mutex mutex;
  std::condition_variable changed;
  bool ending = false;
  bool last_wanted = true;
  bool began = false;  // the run has lived long enough
  bool ended = false;
  std::string problem;
};

SyncFollower::SyncFollower(store::RunDirectory run)
    : state_(std::make_shared<State>(std::move(run))) {}

SyncFollower::~SyncFollower() {
  const std::lock_guard lock(state_->mutex);
  state_->ending = true;
  state_->last_wanted = false;
  state_->changed.notify_all();
}

void SyncFollower::start() {
  const AllSignalsBlocked blocked;
  try {
    std::thread([state = state_] { work(state); }).detach();
  } catch (const std::system_error&) {
    // No more processes are allowed: the kernel writes it all down in its own time.
    state_->ended = true;
  }
}

void SyncFollower::work(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  const auto is_ending = [&] { return state->ending; };
  Clock::duration pause = kFirst;
  bool last = state->changed.wait_for(lock, pause, is_ending);
  if (!last) {
    take_second_place();
    state->began = true;
  }
  while (state->began && (!last || state->last_wanted)) {
    lock.unlock();
    const auto before = Clock::now();
    const auto synced = state->sync.sync();
    pause = std::max(kBetween, (Clock::now() - before) * kRest);
    lock.lock();
    if (!synced) state->problem = synced.error().message;
    if (last) break;
    last = state->changed.wait_for(lock, pause, is_ending);
  }
  state->ended = true;
  state->changed.notify_all();
}

FollowerEnd SyncFollower::finish(const FinishLimits& limits) {
  FollowerEnd end;
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  if (!state_->began) return end;
  const bool hurried_before = limits.hurry();
  auto until = Clock::now() + kPatience;
  if (limits.until) until = std::min(until, *limits.until);
  while (!state_->ended && Clock::now() < until && (hurried_before || !limits.hurry())) {
    state_->changed.wait_for(lock, kLook);
  }
  if (!state_->ended) {
    end.warnings.push_back(
        "not all of what the run stored is on the disk yet: it was still being written at the end; "
        "should this machine lose power in the next half minute, `muster verify` says what is "
        "lost");
  } else if (!state_->problem.empty()) {
    end.warnings.push_back(format_bytes(state_->sync.bytes_in_doubt()) +
                           " of what the run stored may not be on the disk: " + state_->problem);
  }
  return end;
}

}  // namespace muster::exec
