#include "collector/store/safe_path.h"

#include <cerrno>
#include <cstdint>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <memory>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "base/text.h"

namespace muster::store {
namespace {

// What a message shows of a name: it may be long and hold anything.
std::string shown(std::string_view path) {
  constexpr std::size_t kShown = 80;
  std::string text = without_controls(path.substr(0, kShown));
  return path.size() > kShown ? text + "…" : text;
}

std::optional<std::string> why_no_name(std::string_view name) {
  if (name.empty()) return "it has an empty name";
  if (name == "." || name == "..") return "it has the name `" + std::string(name) + "`";
  if (name.size() > kLongestName) {
    return "a name of it has " + std::to_string(name.size()) + " bytes (at most " +
           std::to_string(kLongestName) + " are possible)";
  }
  return std::nullopt;
}

int open_at(int directory, const std::string& name, int flags, mode_t mode) {
  int fd = -1;
  do {
    fd = ::openat(directory, name.c_str(), flags, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// Name by name: none of them may be a link.
int open_name_by_name(int directory, std::string_view path, int flags, mode_t mode) {
  Fd folder;
  while (true) {
    const std::size_t slash = path.find('/');
    const int at = folder ? folder.get() : directory;
    if (slash == std::string_view::npos) {
      return open_at(at, std::string(path), flags | O_NOFOLLOW, mode);
    }
    const std::string name(path.substr(0, slash));
    Fd next(open_at(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0));
    if (!next) return -1;
    folder = std::move(next);
    path.remove_prefix(slash + 1);
  }
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// 0, or why not.  What is no folder stays, and with it the folders that it is in.
int remove_folders_at(int at, const char* name) {
  if (::unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
  if (errno != ENOTEMPTY && errno != EEXIST) return errno;
  Fd fd(open_at(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0));
  if (!fd) return errno;
  std::vector<std::string> inner;
  {
    const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(::dup(fd.get())));
    if (!directory) return errno;
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view each = entry->d_name;
      if (each != "." && each != "..") inner.emplace_back(each);
    }
  }
  for (const std::string& each : inner) {
    if (const int error = remove_folders_at(fd.get(), each.c_str()); error != 0) {
      return error == ENOTDIR ? ENOTEMPTY : error;
    }
  }
  return ::unlinkat(at, name, AT_REMOVEDIR) == 0 ? 0 : errno;
}

bool leads_elsewhere(int error) {
  return error == ELOOP || error == EXDEV || error == ENOTDIR || error == EAGAIN;
}

}  // namespace

std::optional<std::string> why_unsafe(std::string_view path) {
  if (path.empty()) return "it is empty";
  if (path.size() > kLongestPath) {
    return "it has " + std::to_string(path.size()) + " bytes (at most " +
           std::to_string(kLongestPath) + " are stored)";
  }
  if (path.front() == '/') return "it is absolute";
  if (path.find('\0') != std::string_view::npos) return "it has a NUL";
  for (std::string_view rest = path;;) {
    const std::size_t slash = rest.find('/');
    if (auto why = why_no_name(rest.substr(0, slash))) return why;
    if (slash == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(slash + 1);
  }
}

Result<SafeRoot> SafeRoot::open(const std::string& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Failure(system_error(ErrorCode::kRunDirectory, "opening " + directory));
  return SafeRoot(directory, std::move(fd));
}

Failure SafeRoot::failure(std::string_view doing, std::string_view path, int error) const {
  const std::string what = std::string(doing) + " " + directory_ + "/" + shown(path);
  if (leads_elsewhere(error)) {
    return fail(ErrorCode::kPermission,
                what + ": a link or something else that is no folder is on the way");
  }
  return Failure(system_error(ErrorCode::kRunDirectory, what, error));
}

int SafeRoot::open_beneath(const std::string& path, int flags, mode_t mode) const {
  if (has_openat2_) {
    struct open_how how {};
    how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags));
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const auto fd = ::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof how);
    // EAGAIN: somebody renamed a folder meanwhile; the other way decides.
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN && errno != EINTR)) {
      return static_cast<int>(fd);
    }
    // A filter of system calls answers EPERM for whatever it does not know.
    if (errno == ENOSYS || errno == EPERM) has_openat2_ = false;
  }
  return open_name_by_name(fd_.get(), path, flags, mode);
}

Result<Fd> SafeRoot::open_folder(std::string_view path, bool make) const {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  if (path.empty()) {
    Fd fd(::openat(fd_.get(), ".", kFlags));
    if (!fd) return failure("opening", ".", errno);
    return fd;
  }
  Fd fd(open_beneath(std::string(path), kFlags, 0));
  if (fd || errno != ENOENT || !make) {
    if (!fd) return failure("opening", path, errno);
    return fd;
  }
  Fd folder;
  for (std::string_view rest = path;;) {
    const std::size_t slash = rest.find('/');
    const std::string name(rest.substr(0, slash));
    const int at = folder ? folder.get() : fd_.get();
    if (::mkdirat(at, name.c_str(), 0755) != 0 && errno != EEXIST) {
      return failure("making the folder", path, errno);
    }
    Fd next(open_at(at, name, kFlags | O_NOFOLLOW, 0));
    if (!next) return failure("opening", path, errno);
    folder = std::move(next);
    if (slash == std::string_view::npos) return folder;
    rest.remove_prefix(slash + 1);
  }
}

Result<SafeRoot::Place> SafeRoot::place(std::string_view path, bool make_folders) const {
  if (const auto why = why_unsafe(path)) {
    return fail(ErrorCode::kPermission, "the name `" + shown(path) + "` is refused: " + *why);
  }
  const std::size_t slash = path.rfind('/');
  const std::string_view folder =
      slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  MUSTER_TRY_ASSIGN(Fd directory, open_folder(folder, make_folders));
  return Place{std::move(directory),
               std::string(slash == std::string_view::npos ? path : path.substr(slash + 1))};
}

Result<Fd> SafeRoot::open_file(std::string_view path, int flags, mode_t mode) const {
  if (const auto why = why_unsafe(path)) {
    return fail(ErrorCode::kPermission, "the name `" + shown(path) + "` is refused: " + *why);
  }
  // What is no regular file is opened without waiting for anybody, and closed again.
  flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  Fd fd(open_beneath(std::string(path), flags, mode));
  if (!fd && errno == ENOENT && (flags & O_CREAT) != 0) {
    MUSTER_TRY_ASSIGN(const Place at, place(path, true));
    fd.reset(open_at(at.directory.get(), at.name, flags, mode));
  }
  struct stat facts {};
  if (!fd || ::fstat(fd.get(), &facts) != 0) {
    // A FIFO without a reader, a socket.
    if (errno == ENXIO || errno == EISDIR) {
      return fail(ErrorCode::kPermission,
                  "opening " + directory_ + "/" + shown(path) + ": it is no regular file");
    }
    return failure("opening", path, errno);
  }
  if (!S_ISREG(facts.st_mode)) {
    return fail(ErrorCode::kPermission,
                "opening " + directory_ + "/" + shown(path) + ": it is no regular file");
  }
  return fd;
}

Result<> SafeRoot::make_folder(std::string_view path, mode_t mode) const {
  MUSTER_TRY_ASSIGN(const Place at, place(path, true));
  if (::mkdirat(at.directory.get(), at.name.c_str(), mode) == 0) return {};
  const int error = errno;
  struct stat facts {};
  if (error == EEXIST &&
      ::fstatat(at.directory.get(), at.name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISDIR(facts.st_mode)) {
    return {};
  }
  return failure("making the folder", path, error);
}

Result<> SafeRoot::rename(std::string_view from, std::string_view to) const {
  MUSTER_TRY_ASSIGN(const Place source, place(from, false));
  MUSTER_TRY_ASSIGN(const Place target, place(to, true));
  if (::renameat(source.directory.get(), source.name.c_str(), target.directory.get(),
                 target.name.c_str()) != 0) {
    return failure("renaming to", to, errno);
  }
  return {};
}

Result<> SafeRoot::remove(std::string_view path) const {
  auto at = place(path, false);
  if (!at) {
    if (const auto facts = look(path); facts && !*facts) return {};
    return Failure(std::move(at).error());
  }
  if (::unlinkat(at->directory.get(), at->name.c_str(), 0) != 0 && errno != ENOENT) {
    return failure("removing", path, errno);
  }
  return {};
}

Result<> SafeRoot::remove_folders(std::string_view path) const {
  MUSTER_TRY_ASSIGN(const Place at, place(path, false));
  if (const int error = remove_folders_at(at.directory.get(), at.name.c_str()); error != 0) {
    return failure("removing the folder", path, error);
  }
  return {};
}

Result<> SafeRoot::make_link(const std::string& target, std::string_view path) const {
  MUSTER_TRY_ASSIGN(const Place at, place(path, true));
  if (::symlinkat(target.c_str(), at.directory.get(), at.name.c_str()) != 0) {
    return failure("linking", path, errno);
  }
  return {};
}

Result<std::optional<struct stat>> SafeRoot::look(std::string_view path) const {
  if (const auto why = why_unsafe(path)) {
    return fail(ErrorCode::kPermission, "the name `" + shown(path) + "` is refused: " + *why);
  }
  const Fd fd(open_beneath(std::string(path), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
  struct stat facts {};
  if (fd && ::fstat(fd.get(), &facts) == 0) return std::optional(facts);
  if (errno == ENOENT) return std::optional<struct stat>();
  // openat2 opens no link, not even itself; the last name is looked at by its folder.
  if (errno != ELOOP) return failure("looking at", path, errno);
  MUSTER_TRY_ASSIGN(const Place at, place(path, false));
  if (::fstatat(at.directory.get(), at.name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return std::optional<struct stat>();
    return failure("looking at", path, errno);
  }
  return std::optional(facts);
}

Result<> SafeRoot::sync_folder_of(std::string_view path) const {
  MUSTER_TRY_ASSIGN(const Place at, place(path, false));
  if (::fsync(at.directory.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    return failure("syncing the folder of", path, errno);
  }
  return {};
}

}  // namespace muster::store
