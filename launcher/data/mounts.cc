#include "launcher/data/mounts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"

namespace muster::data {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using plan::DataItem;

constexpr auto kLook = 20ms;

std::string who(const DataItem& item) {
  return (item.is_output ? "output " : "input ") + item.name;
}

// Runtime directories are locked for as long as their launcher lives (exec/runtime_directory.h).
bool is_of_a_dead_launcher(const fs::path& runtime) {
  const Fd directory(::open(runtime.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return errno == ENOENT;
  return ::flock(directory.get(), LOCK_SH | LOCK_NB) == 0;
}

// A link of ours that leads into <somewhere>/muster-<uid>-<8 digits>/data/, whose launcher was
// killed before it could take the link away.
bool is_left_behind(const fs::path& name) {
  struct stat info {};
  std::error_code error;
  if (::lstat(name.c_str(), &info) != 0 || !S_ISLNK(info.st_mode) || info.st_uid != ::getuid()) {
    return false;
  }
  const std::string prefix = "muster-" + std::to_string(::getuid()) + "-";
  fs::path inner;
  for (fs::path at = fs::read_symlink(name, error); at.has_relative_path(); at = at.parent_path()) {
    const std::string last = at.filename().string();
    if (at.is_absolute() && inner == "data" && last.starts_with(prefix) &&
        last.size() == prefix.size() + 8 &&
        last.find_first_not_of("0123456789abcdef", prefix.size()) == std::string::npos) {
      return is_of_a_dead_launcher(at);
    }
    inner = at.filename();
  }
  return false;
}

// Why files were left over at the end.
std::string why_left(std::chrono::milliseconds patience, std::chrono::milliseconds limit) {
  return "rclone was still uploading after " + format_duration(patience) +
         (patience < limit ? ", all that limits.stop_budget left"
                           : ", the time of limits.unmount_timeout") +
         "; ";
}

bool has_mounts(const plan::DataPlan& plan) {
  return std::any_of(plan.items.begin(), plan.items.end(),
                     [](const DataItem& item) { return item.is_mount(); });
}

}  // namespace

Mounts::Mounts(const plan::DataPlan& plan, MountSettings settings)
    : plan_(plan), settings_(std::move(settings)) {
  for (const DataItem& item : plan_.items) {
    if (item.is_mount()) mounts_.push_back(std::make_unique<MountedItem>(item, settings_));
  }
}

Mounts::~Mounts() {
  if (!stopped_) static_cast<void>(stop(0ms, [] { return true; }));
}

Result<> Mounts::start(Preparation& preparation) {
  if (plan_.empty()) return {};
  MUSTER_TRY(make_directory());
  if (auto mounted = mount_all(preparation); !mounted) {
    // What the others hold is given back before the failure is told.
    static_cast<void>(stop(settings_.unmount_timeout, [] { return false; }));
    return mounted;
  }
  if (auto linked = make_links(); !linked) {
    static_cast<void>(stop(settings_.unmount_timeout, [] { return false; }));
    return linked;
  }
  return {};
}

Result<> Mounts::make_directory() {
  MUSTER_TRY(make_directories(settings_.data_directory));
  if (!has_mounts(plan_)) return {};
  // Helpers that go into the background stay ours.
  become_child_subreaper();
  if (settings_.fusermount.empty()) return {};
  const fs::path names = settings_.data_directory.parent_path() / "bin";
  MUSTER_TRY(make_directories(names));
  std::error_code ignored;
  fs::create_symlink(settings_.fusermount, names / "fusermount", ignored);
  return {};
}

Result<> Mounts::mount_all(Preparation& preparation) {
  for (const auto& each : mounts_) MUSTER_TRY(each->request());
  const auto all_ready = [this]() -> Result<bool> {
    const std::vector<Mount> table = mount_table();
    bool ready = true;
    for (const auto& each : mounts_) {
      MUSTER_TRY_ASSIGN(const bool one, each->step(table));
      ready = ready && one;
    }
    return ready;
  };
  const auto deadline = Preparation::Clock::now() + settings_.mount_timeout;
  MUSTER_TRY_ASSIGN(const bool ready, preparation.wait_until(all_ready, deadline, kLook));
  if (ready) return {};
  for (const auto& each : mounts_) {
    const auto one = each->step(mount_table());
    if (!one) return Failure(one.error());
    if (!*one) return Failure(each->timed_out());
  }
  return {};
}

Result<> Mounts::link(const fs::path& name, const fs::path& target, const DataItem& item) {
  const auto make = [&] { return ::symlink(target.c_str(), name.c_str()) == 0 ? 0 : errno; };
  int error = make();
  if (error == EEXIST && is_left_behind(name) && ::unlink(name.c_str()) == 0) error = make();
  if (error == 0) {
    links_.push_back(name);
    return {};
  }
  const std::string why =
      error == EEXIST ? "something is there already" : std::string(std::strerror(error));
  return Failure(
      Error{ErrorCode::kData,
            who(item) + " on " + settings_.hostname + ": cannot make the link " + name.string() +
                ": " + why,
            error == EEXIST ? "choose another path_on_compute, or remove what is there" : "",
            item.origin.location});
}

Result<> Mounts::make_links() {
  for (const DataItem& item : plan_.items) {
    const bool in_run_directory =
        item.means == plan::DataMeans::kRunDirectory || item.means == plan::DataMeans::kUpload;
    if (in_run_directory) MUSTER_TRY(make_directories(item.link_target));
    if (item.means == plan::DataMeans::kLink && item.is_output) {
      if (auto made = make_directories(item.link_target); !made) {
        made.error().code = ErrorCode::kData;
        return made;
      }
    }
    if (!item.link_target.empty()) {
      const fs::path name = item.value;
      if (name != item.entry) {
        MUSTER_TRY(make_directories(item.entry));
        directories_.emplace_back(item.entry);
      }
      MUSTER_TRY(link(name, item.link_target, item));
    }
    if (!item.path_on_compute.empty() && !item.entry.empty()) {
      MUSTER_TRY(link(item.path_on_compute, item.value, item));
    }
  }
  return {};
}

Result<> Mounts::check() {
  const auto now = Clock::now();
  for (const auto& each : mounts_) MUSTER_TRY(each->watch(now));
  return {};
}

bool Mounts::owns(pid_t pid) const {
  return std::any_of(mounts_.begin(), mounts_.end(),
                     [pid](const auto& each) { return each->owns(pid); });
}

Unmounted Mounts::stop(std::chrono::milliseconds patience, const std::function<bool()>& hurry) {
  Unmounted result;
  if (stopped_) return result;
  stopped_ = true;
  const auto deadline = Clock::now() + patience;
  const auto in_time = [&] { return Clock::now() < deadline && !hurry(); };
  remove_links();
  const auto flushed = [this] {
    return std::all_of(mounts_.begin(), mounts_.end(),
                       [](const auto& each) { return each->flushed(); });
  };
  while (!flushed() && in_time()) {
    for (const auto& each : mounts_) static_cast<void>(each->watch(Clock::now()));
    detail::pause_briefly();
  }
  std::vector<MountedItem*> left;
  for (const auto& each : mounts_) {
    if (!each->requested()) continue;
    if (!each->flushed() || (each->failed() && each->can_lose_data())) {
      std::string what = who(each->item()) + ": ";
      if (!each->flushed() && !each->failed() && !hurry()) {
        what += why_left(patience, settings_.unmount_timeout);
      }
      what += each->item().means == plan::DataMeans::kRclone
                  ? "what was not uploaded is in " + each->write_cache().string()
                  : "its mount was lost while it could be written to";
      result.incomplete.push_back(std::move(what));
    }
    each->begin_unmount();
    left.push_back(each.get());
  }
  // At least one try, also when there is no time.
  const auto last_try = std::max(deadline, Clock::now() + 500ms);
  while (true) {
    const std::vector<Mount> table = mount_table();
    std::erase_if(left, [&](MountedItem* each) { return each->step_unmount(table); });
    if (left.empty() || Clock::now() >= last_try) break;
    detail::pause_briefly();
  }
  const std::vector<Mount> table = mount_table();
  for (MountedItem* each : left) {
    if (each->is_mounted(table)) {
      result.lazily.push_back(who(each->item()));
      if (each->can_lose_data()) {
        result.incomplete.push_back(who(each->item()) +
                                    ": unmounted lazily, data may be incomplete");
      }
    }
    each->give_up();
  }
  for (const auto& each : mounts_) {
    const bool lazily = std::find(left.begin(), left.end(), each.get()) != left.end();
    if (settings_.on_event && each->requested()) {
      settings_.on_event("unmounted", each->item(), lazily ? "lazily" : "");
    }
    each->remove_traces(result.incomplete.empty());
  }
  return result;
}

void Mounts::remove_links() {
  for (const fs::path& name : links_) ::unlink(name.c_str());
  for (const fs::path& directory : directories_) ::rmdir(directory.c_str());
  links_.clear();
  directories_.clear();
}

}  // namespace muster::data
