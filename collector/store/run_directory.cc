#include "collector/store/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/files.h"

namespace muster::store {
namespace fs = std::filesystem;

Result<RunDirectory> RunDirectory::create(const fs::path& runs_directory, const std::string& run_id,
                                          int world_size) {
  MUSTER_TRY(make_directories(runs_directory));
  RunDirectory run(runs_directory / run_id);
  if (::mkdir(run.root_.c_str(), 0755) != 0) {
    const bool taken = errno == EEXIST;
    Error error =
        system_error(ErrorCode::kRunDirectory, "creating the run directory " + run.root_.string());
    if (taken) error.hint = "a run id is used once: choose another --run-id, or leave it out";
    return Failure(std::move(error));
  }
  const auto fill = [&]() -> Result<> {
    for (const char* name : {"launcher", "outputs", "logs", ".muster"}) {
      MUSTER_TRY(make_directories(run.root_ / name));
    }
    for (int rank = 0; rank < world_size; ++rank) {
      MUSTER_TRY(make_directories(run.root_ / attempt_directory(rank, 0)));
    }
    return {};
  };
  if (auto filled = fill(); !filled) {
    static_cast<void>(remove_tree(run.root_));
    return Failure(std::move(filled).error());
  }
  return run;
}

Result<> RunDirectory::hold_reserve() const {
  // run.json and the last events; more for more ranks, but never worth failing a run over.
  constexpr off_t kReserve = 1 << 18;
  auto fd = open_file(reserve(), O_WRONLY | O_CREAT);
  if (!fd) {
    fd.error().code = ErrorCode::kRunDirectory;
    return Failure(std::move(fd).error());
  }
  const int error = ::posix_fallocate(fd->get(), 0, kReserve);
  if (error == ENOSPC || error == EDQUOT) {
    return Failure(
        system_error(ErrorCode::kRunDirectory, "setting space aside in " + root_.string(), error));
  }
  // A comfort: nothing fails for want of it, and a small disk is not filled by it.
  struct statvfs space {};
  if (::fstatvfs(fd->get(), &space) == 0) {
    const auto free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
    const auto urgent = static_cast<off_t>(std::min<std::uint64_t>(1 << 20, free / 16));
    const Fd kept(::open(urgent_reserve().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (kept && urgent > 0) static_cast<void>(::fallocate(kept.get(), 0, 0, urgent));
  }
  return {};
}

void RunDirectory::release_urgent_reserve() const {
  ::unlink(urgent_reserve().c_str());
}

void RunDirectory::release_reserve() const {
  ::unlink(reserve().c_str());
  release_urgent_reserve();
}

Fd RunDirectory::lock() const {
  Fd directory(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) directory.reset();
  return directory;
}

// Whoever looks holds a shared lock for a moment, so that many may look at once.
bool RunDirectory::is_locked() const {
  const Fd directory(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory && ::flock(directory.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

void RunDirectory::remove_incoming() const {
  static_cast<void>(remove_tree(incoming()));
}

std::string RunDirectory::attempt_directory(int rank, int attempt) {
  char text[64];
  std::snprintf(text, sizeof text, "ranks/%05d/attempt-%d", rank, attempt);
  return text;
}

fs::path RunDirectory::rank_stdout(int rank, int attempt) const {
  return root_ / attempt_directory(rank, attempt) / "stdout.log";
}

fs::path RunDirectory::rank_stderr(int rank, int attempt) const {
  return root_ / attempt_directory(rank, attempt) / "stderr.log";
}

fs::path RunDirectory::rank_driver_log(int rank, int attempt) const {
  return root_ / attempt_directory(rank, attempt) / "driver.log";
}

fs::path RunDirectory::rank_metrics(int rank, int attempt) const {
  return root_ / attempt_directory(rank, attempt) / "metrics.jsonl";
}

}  // namespace muster::store
