#include "launcher/exec/runtime_directory.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/files.h"
#include "base/mounts.h"
#include "base/text.h"
#include "base/unix_socket.h"
#include "launcher/exec/shared_memory.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kDigits = 8;  // of a name's random part
// Written with the lock held, removed last: no directory but one of ours has it.
constexpr const char* kMark = ".muster-runtime";
constexpr std::size_t kLongestSocketName = 16;  // "/control.sock" and room to grow

std::string name_prefix() {
  return "muster-" + std::to_string(::getuid()) + "-";
}

// Names alone say little: somebody else may well keep things in a `muster-0-backup`.
bool is_name_of_ours(std::string_view name) {
  const std::string prefix = name_prefix();
  return name.starts_with(prefix) && name.size() == prefix.size() + kDigits &&
         name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
}

std::string random_name() {
  std::random_device device;
  char text[16];
  std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(device()));
  return name_prefix() + text;
}

// The lock is on the directory itself: from its first moment on it is either held or stale.
Fd open_directory(const fs::path& path) {
  return Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool is_same_file(const Fd& fd, const fs::path& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd.get(), &open_file) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

Result<> mark(const Fd& directory, const fs::path& path) {
  const Fd made(::openat(directory.get(), kMark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (made) return {};
  const Error error = system_error(ErrorCode::kInternal, "creating " + (path / kMark).string());
  ::rmdir(path.c_str());
  return Failure(error);
}

bool is_marked(const Fd& directory) {
  struct stat info {};
  return ::fstatat(directory.get(), kMark, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(info.st_mode) && info.st_uid == ::getuid();
}

// The mark goes last, so that whoever is killed half-way leaves something that the next start
// knows.  Nothing is removed where anything is mounted.
bool remove_marked(const fs::path& path) {
  if (!mounts_below(mount_table(), path_in_table(path)).empty()) return false;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename() == kMark) continue;
    fs::remove_all(entry->path(), error);
    if (error) return false;
  }
  if (error) return false;
  ::unlink((path / kMark).c_str());
  return ::rmdir(path.c_str()) == 0;
}

bool is_remote_file_system(const fs::path& path) {
  struct statfs info {};
  if (::statfs(path.c_str(), &info) != 0) return false;
  constexpr std::array<unsigned long, 6> kRemote = {0x6969 /* NFS */,      0xFF534D42 /* CIFS */,
                                                    0xFE534D42 /* SMB2 */, 0x0BD00BD0 /* Lustre */,
                                                    0x65735546 /* FUSE */, 0x47504653 /* GPFS */};
  const auto type = static_cast<unsigned long>(info.f_type) & 0xFFFFFFFFUL;
  return std::find(kRemote.begin(), kRemote.end(), type) != kRemote.end();
}

// "" when a directory for sockets can be made below `root`, else why not.
std::string why_unusable(const fs::path& root) {
  struct stat info {};
  if (::stat(root.c_str(), &info) != 0) return ::strerror(errno);
  if (!S_ISDIR(info.st_mode)) return "not a directory";
  if (::access(root.c_str(), W_OK | X_OK) != 0) return ::strerror(errno);
  const std::size_t longest = root.string().size() + 1 + random_name().size() + kLongestSocketName;
  if (longest > kMaxSocketPath) {
    return "too long: a socket's path has at most " + std::to_string(kMaxSocketPath) + " bytes";
  }
  if (is_remote_file_system(root)) return "not a local file system";
  // Paths of inputs and outputs below it become words of commands, as they are.
  if (shell_quoted(root.string()) != root.string()) return "a shell would need it in quotes";
  return "";
}

bool is_usable_for_shared_memory(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         ::access(path.c_str(), W_OK | X_OK) == 0;
}

void place_mpi_memory(RuntimeDirectories& directories, int mpi_ranks, int open_mpi_major) {
  const fs::path& runtime = directories.runtime.path();
  const bool have_shm = !directories.shm.path().empty();
  const SharedMemoryChoice choice =
      choose_shared_memory(mpi_ranks, have_shm ? free_bytes(directories.shm.path()) : std::nullopt,
                           free_bytes(runtime), runtime.parent_path(), open_mpi_major);
  if (choice.place == SharedMemoryChoice::Place::kRuntimeDirectory) directories.shm = {};
  directories.mpi_memory_has_room = choice.place != SharedMemoryChoice::Place::kNone;
  directories.warning = choice.warning;
}

}  // namespace

Result<LockedDirectory> LockedDirectory::create(const fs::path& parent) {
  // A cleaner may look at the directory before the lock is held; then it is gone again, and the
  // next name is tried.
  for (int attempt = 0; attempt < 16; ++attempt) {
    const fs::path path = parent / random_name();
    if (::mkdir(path.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return Failure(system_error(ErrorCode::kInternal, "creating directory " + path.string()));
    }
    Fd lock = open_directory(path);
    if (!lock && errno != ENOENT) {
      const Error error = system_error(ErrorCode::kInternal, "opening " + path.string());
      ::rmdir(path.c_str());
      return Failure(error);
    }
    if (lock && ::flock(lock.get(), LOCK_EX) == 0 && is_same_file(lock, path)) {
      MUSTER_TRY(mark(lock, path));
      return LockedDirectory(path, std::move(lock));
    }
  }
  return fail(ErrorCode::kInternal, "creating a directory in " + parent.string() +
                                        ": another process removes it each time");
}

std::vector<std::string> LockedDirectory::remove_stale(const fs::path& parent) {
  std::vector<std::string> removed;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    struct stat info {};
    if (!is_name_of_ours(entry.path().filename().string()) ||
        ::lstat(entry.path().c_str(), &info) != 0 || !S_ISDIR(info.st_mode) ||
        info.st_uid != ::getuid()) {
      continue;
    }
    const Fd lock = open_directory(entry.path());
    const bool stale = lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
    if (!stale) continue;
    bool gone = false;
    if (is_marked(lock)) {
      // Its launcher was killed before it could unmount the inputs.
      detach_mounts_below(entry.path());
      gone = remove_marked(entry.path());
    } else {
      // Killed right after its mkdir; only what is empty goes, and nothing mounted does.
      gone = ::rmdir(entry.path().c_str()) == 0;
    }
    if (gone) removed.push_back(entry.path().string());
  }
  return removed;
}

LockedDirectory& LockedDirectory::operator=(LockedDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  return *this;
}

LockedDirectory::~LockedDirectory() {
  if (!path_.empty()) static_cast<void>(remove_marked(path_));
}

Result<RuntimeDirectories> make_runtime_directories(
    const std::map<std::string, std::string>& environment, int mpi_ranks, int open_mpi_major) {
  struct Candidate {
    std::string name;
    fs::path path;
  };
  std::vector<Candidate> candidates;
  for (const char* variable : {"MUSTER_RUNTIME_DIR", "XDG_RUNTIME_DIR", "TMPDIR"}) {
    const auto found = environment.find(variable);
    if (found != environment.end() && !found->second.empty()) {
      candidates.push_back(
          {std::string(variable) + "=" + found->second, fs::absolute(found->second)});
    }
  }
  candidates.push_back({"/tmp", "/tmp"});
  candidates.push_back({"/dev/shm", "/dev/shm"});

  RuntimeDirectories directories;
  std::vector<std::string> reasons;
  for (const Candidate& candidate : candidates) {
    std::string why = why_unusable(candidate.path);
    if (why.empty()) {
      LockedDirectory::remove_stale(candidate.path);
      if (directories.runtime.path().empty()) {
        auto made = LockedDirectory::create(candidate.path);
        if (made) directories.runtime = std::move(*made);
        if (!made) why = made.error().message;
      }
    }
    if (!why.empty()) reasons.push_back(candidate.name + " (" + why + ")");
  }
  if (directories.runtime.path().empty()) {
    return fail(ErrorCode::kResources,
                "no directory for sockets: none of these can be used: " + join(reasons, ", "),
                "set MUSTER_RUNTIME_DIR to a writable, local directory with a short path");
  }
  if (is_usable_for_shared_memory("/dev/shm")) {
    if (auto made = LockedDirectory::create("/dev/shm")) directories.shm = std::move(*made);
  }
  if (mpi_ranks > 1) place_mpi_memory(directories, mpi_ranks, open_mpi_major);
  if (mpi_ranks > 0 && !directories.shm.path().empty()) {
    const std::uint64_t needed = shared_memory_needed(mpi_ranks, open_mpi_major) + kMpiSessionBytes;
    directories.session_in_shm = free_bytes(directories.shm.path()).value_or(0) >= needed;
  }
  return directories;
}

}  // namespace muster::exec
