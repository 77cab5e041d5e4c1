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
constexpr std::size_t kNamedRuns = 3;
constexpr auto kFirstWord = 3s;  // most digests are made before anybody wonders
constexpr auto kNextWord = 10s;

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
    if (request.is_shared) break;
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
  options.publisher.names = request.names;
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
    : request_(std::move(request)), folders_(request_.run, options_of(request_)) {
  if (!request_.in_place || request_.is_shared) return;
  auto claim =
      FolderClaim::take(request_.environment, request_.working_directory, request_.run.root());
  if (claim) claim_.emplace(std::move(*claim));  // else nobody knows, and nothing else is lost
}

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
    say_shared();
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  ended_changed_.notify_one();
}

void OutputsFollower::tell_events() {
  for (const outputs::FileEvent& event : folders_.take_events()) request_.tell(event);
}

// "" unless files were stored, and another run worked here meanwhile.
std::string OutputsFollower::shared_with() const {
  if (!claim_ || !folders_.has_collected()) return "";
  std::vector<std::string> others = claim_->others();
  if (others.empty()) return "";
  const std::size_t count = others.size();
  if (count > kNamedRuns) {
    others.resize(kNamedRuns);
    others.push_back(std::to_string(count - kNamedRuns) + " more");
  }
  return (count == 1 ? "another run works" : std::to_string(count) + " other runs work") + " in " +
         request_.working_directory.string() + " at the same time (" +
         without_controls(join(others, ", ")) +
         "): each run stores what changes in ./outputs and ./logs while it runs, the other's files "
         "included; in_place: false, or a directory for each run, keeps them apart";
}

void OutputsFollower::say_shared() {
  if (said_shared_) return;
  const std::string shared = shared_with();
  if (shared.empty()) return;
  said_shared_ = true;
  request_.say("muster: warning: " + shared);
}

// Everything has its name by now: whoever has no time for this loses no byte.
void OutputsFollower::hash_moved(const outputs::KeepOn& keep_on, FollowerEnd& end) {
  auto next_word = Clock::now() + kFirstWord;
  const auto progress = [&](std::uint64_t done, std::uint64_t all) {
    const auto now = Clock::now();
    if (now < next_word) return;
    next_word = now + kNextWord;
    request_.say("muster: the results are stored; their checksums are made, " + format_bytes(done) +
                 " of " + format_bytes(all) + " so far (Ctrl-C: without them)");
  };
  const auto without = static_cast<std::int64_t>(folders_.hash_moved(keep_on, progress));
  if (without == 0) return;
  end.said.push_back(counted(without, "large output file") +
                     (without == 1 ? " is stored" : " are stored") +
                     " without a checksum: there was no time to make one");
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
  hash_moved(keep_on, end);
  if (std::string shared = shared_with(); !shared.empty()) {
    end.warnings.push_back(std::move(shared));
  }
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
    end.incomplete.files_not_stored += folder.problem_count;
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
