#include "launcher/exec/outputs_follower.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <linux/ioprio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

#include "base/text.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using outputs::OutputFolders;

constexpr auto kFirstLook = 1000ms;  // a run that is shorter needs no thread's work
constexpr auto kPatienceForThread = 20ms;
constexpr int kHintedLooks = 10;  // times as often as without a hint

// What files of this kernel are stamped with.
std::int64_t file_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Ranks come first, at the disk and at the cores.
void take_second_place() {
  constexpr int kLowest = 7;
  ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, kLowest));
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
}

// Kept free for what ranks print, while they run.
std::uint64_t room_for_streams(const fs::path& run) {
  struct statvfs disk {};
  if (::statvfs(run.c_str(), &disk) != 0) return 0;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 30;
  return std::min(kMost, std::uint64_t{disk.f_blocks} * disk.f_frsize / 20);
}

outputs::OutputFoldersOptions options_of(const OutputsRequest& request) {
  outputs::OutputFoldersOptions options;
  const fs::path& root = request.run.root();
  options.working_directory = request.working_directory;
  // Ranks that work in the run directory itself, or write there, need no copy.
  for (const std::string name : {"outputs", "logs"}) {
    const fs::path path = request.working_directory / name;
    if (path != root / name) options.folders.push_back({{name, path}, false, !request.in_place});
  }
  for (const std::string& name : request.named) {
    options.folders.push_back({{name, root / name}, true, false});
  }
  if (request.in_place) {
    options.since_ns = file_time_now();
    options.excluded = {root.parent_path(), request.run.outputs(), request.run.logs()};
  }
  options.publisher.max_bytes = request.max_bytes;
  options.publisher.owner_rank = request.lowest_rank;
  options.publisher.leave_free = room_for_streams(root);
  return options;
}

Error time_is_up() {
  return {ErrorCode::kStopped, "the stop_budget is used up"};
}

std::string and_more(std::uint64_t count) {
  return count > 1 ? ", and " + std::to_string(count - 1) + " more" : "";
}

}  // namespace

OutputsFollower::OutputsFollower(OutputsRequest request)
    : request_(std::move(request)), folders_(request_.run, options_of(request_)) {}

OutputsFollower::~OutputsFollower() {
  if (!thread_.joinable()) return;
  stopping_ = abandoned_ = true;
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void OutputsFollower::start() {
  if (!request_.live || thread_.joinable()) return;
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!wake_) return;  // then everything is stored at the end
  try {
    thread_ = std::thread([this] { follow(); });
  } catch (const std::system_error&) {
    // No more processes are allowed: the same.
  }
}

void OutputsFollower::follow() {
  take_second_place();
  const outputs::KeepOn keep_on = [this]() -> Result<> {
    // A file that only has to change its name in the end is not copied to the end now.
    if (abandoned_ || (stopping_ && !request_.in_place)) return Failure(time_is_up());
    return {};
  };
  std::chrono::milliseconds interval = kFirstLook;
  bool looked = false;
  while (!stopping_) {
    pollfd waits[2] = {{wake_.get(), POLLIN, 0}, {folders_.hint_fd(), POLLIN, 0}};
    const auto least = looked ? interval / kHintedLooks : interval;
    ::poll(waits, 1, static_cast<int>(least.count()));
    if (!stopping_) ::poll(waits, 2, static_cast<int>((interval - least).count()));
    if (stopping_) break;
    interval = folders_.step(keep_on);
    looked = true;
    tell_events();
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  ended_changed_.notify_one();
}

void OutputsFollower::tell_events() {
  for (const outputs::FileEvent& event : folders_.take_events()) request_.tell(event);
}

// What is half copied is copied to its end where that saves a second start.
void OutputsFollower::stop_following(const FinishLimits& limits, bool hurried_before) {
  if (!thread_.joinable()) return;
  stopping_ = true;
  ::eventfd_write(wake_.get(), 1);
  std::unique_lock lock(mutex_);
  while (!ended_changed_.wait_for(lock, kPatienceForThread, [this] { return ended_; })) {
    if ((limits.until && Clock::now() >= *limits.until) || (!hurried_before && limits.hurry())) {
      abandoned_ = true;
    }
  }
  lock.unlock();
  thread_.join();
}

FollowerEnd OutputsFollower::finish(const FinishLimits& limits) {
  // Whoever asked before the results' turn meant the ranks.
  const bool hurried_before = limits.hurry();
  stop_following(limits, hurried_before);
  const outputs::KeepOn keep_on = [&]() -> Result<> {
    if (limits.until && Clock::now() >= *limits.until) return Failure(time_is_up());
    if (!hurried_before && limits.hurry()) {
      return fail(ErrorCode::kStopped, "somebody asked to stop once more");
    }
    return {};
  };
  ends_ = folders_.finish(keep_on);
  tell_events();

  FollowerEnd end;
  all_taken_ = true;
  for (const OutputFolders::FolderEnd& folder : ends_) {
    if (folder.refused > 0) {
      end.warnings.push_back("./" + folder.name + ": " + std::to_string(folder.refused) +
                             (folder.refused == 1 ? " entry is" : " entries are") +
                             " not stored: " + without_controls(folder.first_refused) +
                             and_more(folder.refused));
    }
    if (folder.problem_count == 0) continue;
    all_taken_ = false;
    Error error{ErrorCode::kRunDirectory, "./" + folder.name +
                                              " is not complete in the run directory: " +
                                              without_controls(folder.problems.front().message) +
                                              and_more(folder.problem_count) +
                                              "; the files are still in " + folder.path.string()};
    if (end.failure) {
      end.warnings.push_back(std::move(error.message));
    } else {
      end.failure = std::move(error);
    }
  }
  for (const OutputFolders::FolderEnd& folder : ends_) {
    const bool is_named = std::find(request_.named.begin(), request_.named.end(), folder.name) !=
                          request_.named.end();
    if (is_named && folder.is_empty && folder.problem_count == 0) {
      end.said.push_back("output " + folder.name.substr(folder.name.rfind('/') + 1) +
                         " is empty: nothing was written to " + folder.path.string());
    }
  }
  return end;
}

}  // namespace muster::exec
