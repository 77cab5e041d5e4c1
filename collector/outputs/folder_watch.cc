#include "collector/outputs/folder_watch.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <sys/inotify.h>
#include <unistd.h>

namespace muster::outputs {
namespace {

// No IN_MODIFY: a program that logs would pay for an event with every write(), and looks see that a
// file has grown.
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                  IN_DELETE | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;
constexpr std::size_t kMostFolders = 4096;

}  // namespace

std::optional<FolderWatch> FolderWatch::create() {
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return std::nullopt;
  return FolderWatch(std::move(fd));
}

bool FolderWatch::add(const std::string& path, const std::filesystem::path& folder) {
  if (by_path_.contains(path)) return true;
  if (by_path_.size() >= kMostFolders) return false;
  // The output folder itself may be a link; below it none is followed.
  const std::uint32_t events =
      path.find('/') == std::string::npos ? kEvents & ~std::uint32_t{IN_DONT_FOLLOW} : kEvents;
  const int watch = ::inotify_add_watch(fd_.get(), folder.c_str(), events);
  if (watch < 0) return false;
  // The same folder under a new name keeps its number.
  if (const auto known = by_watch_.find(watch); known != by_watch_.end()) {
    by_path_.erase(known->second);
  }
  by_watch_[watch] = path;
  by_path_[path] = watch;
  return true;
}

FolderHints FolderWatch::read() {
  FolderHints hints;
  alignas(inotify_event) char buffer[1 << 16];
  while (true) {
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return hints;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      hints.any = true;
      if ((event.mask & IN_Q_OVERFLOW) != 0) hints.overflowed = true;
      const auto folder = by_watch_.find(event.wd);
      if (folder == by_watch_.end()) continue;
      if ((event.mask & IN_IGNORED) != 0) {
        by_path_.erase(folder->second);
        by_watch_.erase(folder);
      } else if (event.len > 0 && (event.mask & IN_ISDIR) == 0 &&
                 (event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) {
        hints.closed.push_back(folder->second + "/" + name);
      }
    }
  }
}

}  // namespace muster::outputs
