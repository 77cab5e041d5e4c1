#include "launcher/exec/leases.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <random>
#include <set>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/process.h"
#include "base/text.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

constexpr auto kLockPatience = 2s;  // a plan takes milliseconds
constexpr std::size_t kLongestRecord = 1U << 20;
constexpr std::size_t kDigits = 8;
constexpr std::string_view kPrefix = "lease-";
constexpr std::string_view kNewPrefix = "new-";  // not yet locked and complete
constexpr std::string_view kSuffix = ".json";

std::string random_digits() {
  std::random_device device;
  char text[kDigits + 1];
  std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(device()));
  return text;
}

bool is_name_with(std::string_view name, std::string_view prefix) {
  return name.size() == prefix.size() + kDigits + kSuffix.size() && name.starts_with(prefix) &&
         name.ends_with(kSuffix) &&
         name.substr(prefix.size(), kDigits).find_first_not_of("0123456789abcdef") ==
             std::string_view::npos;
}

Failure failed(const std::string& doing) {
  return Failure(system_error(ErrorCode::kInternal, doing));
}

// Whether the lock came within `patience`; errno says why not.
bool lock_within(const Fd& fd, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= deadline) return false;
    muster::detail::pause_briefly();
  }
  return true;
}

std::string record_text(const LeaseRecord& record) {
  const Json json = {{"run_id", record.held.run_id},
                     {"launcher_pid", record.held.pid},
                     {"cpus", record.held.cpus.to_string()},
                     {"gpus", record.held.gpus},
                     {"since", record.since},
                     {"inside", record.inside}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<std::string> texts_of(const Json& json, const char* name) {
  std::vector<std::string> texts;
  const auto found = json.find(name);
  if (found == json.end() || !found->is_array()) return texts;
  for (const Json& each : *found) {
    if (each.is_string()) texts.push_back(each.get<std::string>());
  }
  return texts;
}

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// nullopt for what no Muster wrote; a newer one's further fields are left aside.
std::optional<LeaseRecord> parse_record(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto cpus = CpuSet::parse(text_of(json, "cpus"));
  if (!cpus) return std::nullopt;
  LeaseRecord record;
  record.held.run_id = without_controls(text_of(json, "run_id"));  // it is shown to people
  const auto pid = json.find("launcher_pid");
  if (pid != json.end() && pid->is_number_integer()) record.held.pid = pid->get<int>();
  record.held.cpus = *cpus;
  record.held.gpus = texts_of(json, "gpus");
  record.since = without_controls(text_of(json, "since"));
  record.inside = texts_of(json, "inside");
  return record;
}

std::string read_from_start(const Fd& file) {
  std::string text;
  char buffer[4096];
  while (text.size() < kLongestRecord) {
    const ssize_t got = ::pread(file.get(), buffer, sizeof buffer, static_cast<off_t>(text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

std::vector<std::string> names_in(const Fd& directory) {
  std::vector<std::string> names;
  // A descriptor of its own: closedir closes it, and each reading begins at the first name.
  const int own = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(own), &::closedir);
  if (!entries) {
    ::close(own);
    return names;
  }
  while (const dirent* entry = ::readdir(entries.get())) names.emplace_back(entry->d_name);
  return names;
}

}  // namespace

Lease::Lease(Lease&& other) noexcept
    : path_(std::move(other.path_)), file_(std::move(other.file_)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  path_ = std::move(other.path_);
  file_ = std::move(other.file_);
  return *this;
}

// The file first: whoever finds it without a lock would only have it to remove.
void Lease::release() {
  if (!file_) return;
  ::unlink(path_.c_str());
  file_.reset();
}

std::string Lease::text() const {
  return file_ ? read_from_start(file_) : "";
}

Result<LeaseDirectory> LeaseDirectory::open_at(const fs::path& path, Making making) {
  if (making == Making::kIfMissing && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return failed("creating " + path.string());
  }
  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return failed("opening " + path.string());
  struct stat info {};
  if (::fstat(directory.get(), &info) != 0) return failed("looking at " + path.string());
  // In a directory that all may write somebody else may have been first with the name.
  if (info.st_uid != ::geteuid()) {
    return fail(ErrorCode::kInternal,
                path.string() + " belongs to user " + std::to_string(info.st_uid));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(ErrorCode::kInternal, path.string() + " may be written by others");
  }
  return LeaseDirectory(path, std::move(directory));
}

Result<LeaseDirectory> LeaseDirectory::open(const std::map<std::string, std::string>& environment,
                                            Making making) {
  const auto named = environment.find("MUSTER_LEASE_DIR");
  if (named != environment.end() && !named->second.empty()) {
    return open_at(fs::absolute(named->second), making);
  }
  const std::string name = "muster-leases-" + std::to_string(::geteuid());
  auto in_memory = open_at(fs::path("/dev/shm") / name, making);
  if (in_memory) return in_memory;
  auto on_disk = open_at(fs::path("/tmp") / name, making);
  if (on_disk) return on_disk;
  return fail(ErrorCode::kInternal, in_memory.error().message + "; " + on_disk.error().message);
}

Result<> LeaseDirectory::lock() {
  if (lock_within(directory_, kLockPatience)) {
    locked_ = true;
    return {};
  }
  if (errno != EWOULDBLOCK) return failed("locking " + path_.string());
  return fail(ErrorCode::kInternal, "another start has held the lock of " + path_.string() +
                                        " for " + format_duration(kLockPatience));
}

void LeaseDirectory::unlock() {
  if (locked_) ::flock(directory_.get(), LOCK_UN);
  locked_ = false;
}

std::vector<LeaseRecord> LeaseDirectory::read() const {
  std::vector<LeaseRecord> records;
  for (const std::string& name : names_in(directory_)) {
    const bool complete = is_name_with(name, kPrefix);
    if (!complete && !is_name_with(name, kNewPrefix)) continue;
    const Fd file(
        ::openat(directory_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    // Shared: two who ask at the same time must not take each other for the launcher.
    if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) {
      if (locked_) ::unlinkat(directory_.get(), name.c_str(), 0);
      continue;
    }
    if (errno != EWOULDBLOCK || !complete) continue;
    if (auto record = parse_record(read_from_start(file))) records.push_back(std::move(*record));
  }
  std::sort(records.begin(), records.end(), [](const LeaseRecord& a, const LeaseRecord& b) {
    return std::pair(a.held.run_id, a.held.pid) < std::pair(b.held.run_id, b.held.pid);
  });
  return records;
}

Result<Lease> LeaseDirectory::take(const LeaseRecord& record) const {
  return put(kPrefix, record_text(record));
}

// Locked and complete before it has its name, so that nobody sees less.
Result<Lease> LeaseDirectory::put(std::string_view kind, const std::string& text) const {
  const std::string digits = random_digits();
  const std::string name = std::string(kind) + digits + std::string(kSuffix);
  const std::string new_name = std::string(kNewPrefix) + digits + std::string(kSuffix);
  Fd file(
      ::openat(directory_.get(), new_name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return failed("creating a file in " + path_.string());
  const auto undo = [&](Failure failure) {
    ::unlinkat(directory_.get(), new_name.c_str(), 0);
    return failure;
  };
  if (!lock_within(file, kLockPatience)) return undo(failed("locking a file in " + path_.string()));
  if (auto written = write_all(file, text); !written) {
    return undo(Failure(std::move(written).error()));
  }
  if (::renameat(directory_.get(), new_name.c_str(), directory_.get(), name.c_str()) != 0) {
    return undo(failed("renaming a file in " + path_.string()));
  }
  return Lease(path_ / name, std::move(file));
}

// One has its name only while it is locked: without a lock its launcher is gone.
std::vector<LeaseDirectory::Living> LeaseDirectory::living(std::string_view kind) const {
  std::vector<Living> all;
  for (const std::string& name : names_in(directory_)) {
    if (!is_name_with(name, kind)) continue;
    Fd file(::openat(directory_.get(), name.c_str(),
                     O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) {
      ::unlinkat(directory_.get(), name.c_str(), 0);
    } else if (errno == EWOULDBLOCK) {
      std::string text = read_from_start(file);
      all.push_back({std::move(file), std::move(text)});
    }
  }
  return all;
}

std::vector<std::string> runs_around(const std::vector<LeaseRecord>& records,
                                     const std::string& around) {
  if (around.empty()) return {};
  std::vector<std::string> runs;
  for (const LeaseRecord& record : records) {
    if (record.held.run_id == around) runs = record.inside;
  }
  runs.push_back(around);
  return runs;
}

std::vector<plan::HeldByRun> held_by_others(const std::vector<LeaseRecord>& records,
                                            const std::string& around) {
  const std::vector<std::string> own = runs_around(records, around);
  std::vector<plan::HeldByRun> held;
  for (const LeaseRecord& record : records) {
    if (std::find(own.begin(), own.end(), record.held.run_id) == own.end()) {
      held.push_back(record.held);
    }
  }
  return held;
}

plan::HeldByRun held_by_plan(const plan::LaunchPlan& plan, config::Binder binding) {
  plan::HeldByRun held;
  std::set<std::string> gpus;
  for (const plan::RankPlacement& rank : plan.ranks) {
    if (rank.bound && binding != config::Binder::kNone) {
      held.cpus = held.cpus.united(rank.cpuset);
    }
    for (const topology::Gpu& gpu : rank.gpus)
      gpus.insert(gpu.uuid.empty() ? gpu.bus_id : gpu.uuid);
  }
  gpus.erase("");
  held.gpus.assign(gpus.begin(), gpus.end());
  return held;
}

}  // namespace muster::exec
