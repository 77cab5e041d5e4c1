#include "launcher/exec/working_copy.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "base/fd.h"
#include "base/files.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

Failure data_error(const std::string& doing, int error_number) {
  return Failure(system_error(ErrorCode::kData, doing, error_number));
}

using Until = std::optional<std::chrono::steady_clock::time_point>;

Result<> check_time(const Until& until) {
  if (!until || std::chrono::steady_clock::now() < *until) return {};
  return fail(ErrorCode::kData, "the stop_budget is used up");
}

Result<std::uint64_t> copy_bytes(const Fd& source, const Fd& target, const std::string& doing,
                                 const Until& until) {
  std::uint64_t copied = 0;
  while (true) {
    constexpr std::size_t kChunk = 1 << 24;
    MUSTER_TRY(check_time(until));
    const ssize_t sent = ::sendfile(target.get(), source.get(), nullptr, kChunk);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return data_error(doing, errno);
    if (sent == 0) return copied;
    copied += static_cast<std::uint64_t>(sent);
  }
}

// Bytes, mode and times of one regular file: all of it, or nothing is there.  With `incoming` it
// grows under that name, and stays there when the time is over: to remove gigabytes takes long.
Result<std::uint64_t> copy_file(const fs::path& from, const fs::path& to, const struct stat& info,
                                const fs::path& incoming, const Until& until) {
  const std::string doing = "copying " + from.string() + " to " + to.string();
  const fs::path growing = incoming.empty() ? to : incoming;
  const Fd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!source) return data_error(doing, errno);
  const Fd target(::open(growing.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!target) return data_error(doing, errno);
  auto copied = copy_bytes(source, target, doing, until);
  const timespec times[2] = {info.st_atim, info.st_mtim};
  if (copied &&
      (::fchmod(target.get(), info.st_mode & 07777) != 0 || ::futimens(target.get(), times) != 0)) {
    copied = data_error(doing, errno);
  }
  if (copied && growing != to && ::rename(growing.c_str(), to.c_str()) != 0) {
    copied = data_error(doing, errno);
  }
  if (!copied && check_time(until)) ::unlink(growing.c_str());
  return copied;
}

Result<> copy_link(const fs::path& from, const fs::path& to) {
  std::error_code error;
  const fs::path target = fs::read_symlink(from, error);
  if (!error) fs::create_symlink(target, to, error);
  if (error) return data_error("copying the link " + from.string(), error.value());
  return {};
}

using Wanted = std::function<bool(const fs::path&, const struct stat&)>;
using Paths = std::vector<fs::path>;

bool is_one_of(const fs::path& directory, const Paths& paths) {
  return std::any_of(paths.begin(), paths.end(), [&](const fs::path& path) {
    std::error_code error;
    return !path.empty() && fs::equivalent(directory, path, error);
  });
}

struct CopyOptions {
  Paths excluded;              // folders that are not entered
  bool empty_folders = false;  // all folders appear; else each with its first entry
  Wanted wanted = [](const fs::path&, const struct stat&) { return true; };
  fs::path incoming = {};
  Until until = {};
};

// Walks `from` and copies the regular files and links that are wanted.  Sockets, FIFOs and devices
// are not data.
Result<> copy_tree(const fs::path& from, const fs::path& to, const CopyOptions& options,
                   CollectedFiles& collected) {
  MUSTER_TRY(check_time(options.until));
  std::error_code error;
  fs::directory_iterator entries(from, error);
  if (error) return data_error("reading " + from.string(), error.value());
  if (options.empty_folders) MUSTER_TRY(make_directories(to));
  for (const auto& entry : entries) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) != 0) {
      if (errno == ENOENT) continue;  // gone since the listing
      return data_error("looking at " + entry.path().string(), errno);
    }
    const fs::path target = to / entry.path().filename();
    if (S_ISDIR(info.st_mode)) {
      if (is_one_of(entry.path(), options.excluded)) continue;
      MUSTER_TRY(copy_tree(entry.path(), target, options, collected));
      // As it was for others; we ourselves must be able to fill it and to remove it again.
      if (::chmod(target.c_str(), (info.st_mode & 07777) | S_IRWXU) != 0 && errno != ENOENT) {
        return data_error("setting the mode of " + target.string(), errno);
      }
      continue;
    }
    if (!options.wanted(entry.path(), info)) continue;
    MUSTER_TRY(make_directories(to));
    if (S_ISLNK(info.st_mode)) {
      MUSTER_TRY(copy_link(entry.path(), target));
    } else if (S_ISREG(info.st_mode)) {
      MUSTER_TRY_ASSIGN(const std::uint64_t bytes,
                        copy_file(entry.path(), target, info, options.incoming, options.until));
      ++collected.files;
      collected.bytes += bytes;
    }
  }
  return {};
}

bool is_at_or_after(const timespec& time, const timespec& since) {
  return time.tv_sec != since.tv_sec ? time.tv_sec > since.tv_sec : time.tv_nsec >= since.tv_nsec;
}

void count_files(const fs::path& path, CollectedFiles& collected) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    if (!at->is_regular_file(error) || at->is_symlink(error)) continue;
    ++collected.files;
    collected.bytes += at->file_size(error);
  }
}

}  // namespace

timespec file_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);  // what the kernel stamps files with
  return now;
}

Result<CollectedFiles> move_files(const fs::path& from, const fs::path& to,
                                  const Collecting& collecting) {
  CollectedFiles collected;
  if (::access(from.c_str(), F_OK) != 0) return collected;
  count_files(from, collected);
  // When `to` is empty a rename replaces it.
  if (::rename(from.c_str(), to.c_str()) == 0) return collected;
  if (errno == ENOTEMPTY || errno == EEXIST) {
    // What is there stays: outputs that ranks wrote to the run directory at once.
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(from, error)) {
      const fs::path target = to / entry.path().filename();
      ::renameat2(AT_FDCWD, entry.path().c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE);
    }
    if (!error && fs::is_empty(from, error)) return collected;
  }
  const CollectedFiles all = collected;
  CopyOptions options;
  options.empty_folders = true;
  options.incoming = collecting.incoming;
  options.until = collecting.until;
  MUSTER_TRY(copy_tree(from, to, options, collected));
  return all;
}

Result<CollectedFiles> copy_new_files(const fs::path& from, const fs::path& to,
                                      const timespec& since, const fs::path& excluded,
                                      const Collecting& collecting) {
  CollectedFiles collected;
  struct stat info {};
  if (::stat(from.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return collected;
  CopyOptions options;
  options.excluded = {excluded, to};
  options.incoming = collecting.incoming;
  options.until = collecting.until;
  options.wanted = [&](const fs::path&, const struct stat& file) {
    return is_at_or_after(file.st_mtim, since);
  };
  MUSTER_TRY(copy_tree(from, to, options, collected));
  return collected;
}

}  // namespace muster::exec
