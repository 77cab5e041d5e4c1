#include "base/files.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/text.h"

namespace muster {
namespace fs = std::filesystem;

namespace {

Result<std::string> read_all(const Fd& fd, const std::string& doing, std::size_t max_bytes) {
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failure(system_error(ErrorCode::kInternal, doing));
    if (got == 0) return text;
    if (text.size() + static_cast<std::size_t>(got) > max_bytes) {
      return fail(ErrorCode::kInternal, doing + ": it holds more than " + format_bytes(max_bytes));
    }
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<std::string> read_file(const fs::path& path, std::size_t max_bytes) {
  const std::string doing = "reading " + path.string();
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Failure(system_error(ErrorCode::kInternal, doing));
  return read_all(fd, doing, max_bytes);
}

Result<std::string> read_regular_file(const fs::path& path, std::size_t max_bytes) {
  const std::string doing = "reading " + path.string();
  // Without O_NONBLOCK the open itself waits for a FIFO's writer.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat facts {};
  if (!fd || ::fstat(fd.get(), &facts) != 0) {
    return Failure(system_error(ErrorCode::kInternal, doing));
  }
  if (!S_ISREG(facts.st_mode)) {
    return fail(ErrorCode::kInternal, doing + ": it is no regular file, but a " +
                                          (S_ISDIR(facts.st_mode)    ? "directory"
                                           : S_ISFIFO(facts.st_mode) ? "pipe (FIFO)"
                                                                     : "device or socket"));
  }
  return read_all(fd, doing, max_bytes);
}

Result<> replace_file(const fs::path& path, std::string_view text, bool durable) {
  const fs::path temporary = path.string() + ".tmp." + std::to_string(::getpid());
  const auto write = [&]() -> Result<> {
    MUSTER_TRY_ASSIGN(const Fd fd, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC));
    MUSTER_TRY(write_all(fd, text));
    if (durable && ::fdatasync(fd.get()) != 0) {
      return Failure(system_error(ErrorCode::kRunDirectory, "syncing"));
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      return Failure(system_error(ErrorCode::kRunDirectory, "renaming"));
    }
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(temporary.c_str());
    Error error = std::move(written).error();
    error.code = ErrorCode::kRunDirectory;
    return Failure(std::move(error).with_context("writing " + path.string()));
  }
  return {};
}

Result<> make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    return Failure(system_error(ErrorCode::kRunDirectory, "creating directory " + path.string(),
                                error.value()));
  }
  return {};
}

namespace {

// A removal that goes on into a mount would delete the user's data.
Result<> refuse_mounts(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(path, error))) return {};
  const auto mounts = mounts_below(mount_table(), path_in_table(path));
  if (mounts.empty()) return {};
  return fail(ErrorCode::kInternal,
              "removing " + path.string() + ": " + mounts.front().point.string() +
                  " is still mounted (" + mounts.front().type + "), so nothing there was removed",
              "unmount it: umount -l " + shell_quoted(mounts.front().point.string()));
}

}  // namespace

Result<> remove_tree(const fs::path& path) {
  MUSTER_TRY(refuse_mounts(path));
  std::error_code error;
  fs::remove_all(path, error);
  if (error && error.value() != ENOENT) {
    return Failure(system_error(ErrorCode::kInternal, "removing " + path.string(), error.value()));
  }
  return {};
}

Result<TemporaryDirectory> TemporaryDirectory::create(const fs::path& parent,
                                                      const std::string& prefix) {
  std::string name = (parent / (prefix + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr) {
    return Failure(
        system_error(ErrorCode::kInternal, "creating a directory in " + parent.string()));
  }
  return TemporaryDirectory(name);
}

TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TemporaryDirectory::~TemporaryDirectory() {
  if (!path_.empty()) static_cast<void>(remove_tree(path_));
}

Result<fs::path> own_executable() {
  std::error_code error;
  fs::path path = fs::read_symlink("/proc/self/exe", error);
  std::error_code ignored;
  if (error && !fs::exists("/proc/self", ignored)) {
    return fail(ErrorCode::kResources,
                "no /proc is mounted here, and Muster finds a run's processes in it",
                "mount it with `mount -t proc proc /proc`; container runtimes do so by themselves");
  }
  if (error) {
    return Failure(system_error(ErrorCode::kInternal, "reading /proc/self/exe", error.value()));
  }
  return path;
}

std::optional<fs::path> find_program(const std::string& name, std::string_view path_variable) {
  const auto runnable = [](const fs::path& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
           ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    return runnable(name) ? std::optional<fs::path>(name) : std::nullopt;
  }
  for (const std::string& directory : split(path_variable, ':')) {
    const fs::path candidate = fs::path(directory.empty() ? "." : directory) / name;
    if (runnable(candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace muster
