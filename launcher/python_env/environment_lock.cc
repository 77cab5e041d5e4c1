#include "launcher/python_env/environment_lock.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::python_env {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;

constexpr auto kLongestWait = 6h;  // makers that move nothing give up long before
constexpr auto kLookInterval = 50ms;

std::string holder(const Fd& lock) {
  std::array<char, 256> text{};
  const ssize_t size = ::pread(lock.get(), text.data(), text.size(), 0);
  if (size <= 0) return "another run";
  return without_controls(std::string(text.data(), static_cast<std::size_t>(size)));
}

// Whether somebody has removed it, with the whole cache perhaps, since it was opened.
bool is_still_there(const Fd& lock, const fs::path& path) {
  struct stat ours {};
  struct stat there {};
  return ::fstat(lock.get(), &ours) == 0 && ::stat(path.c_str(), &there) == 0 &&
         ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

Result<bool> try_lock(const Fd& lock, const fs::path& path) {
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK || errno == EINTR) return false;
  return Failure(system_error(ErrorCode::kResources, "locking " + path.string())
                     .with_hint("set MUSTER_CACHE_DIR to a local directory"));
}

Error no_cache(Error error) {
  error.code = ErrorCode::kResources;
  return std::move(error).with_hint(
      "set MUSTER_CACHE_DIR to a directory that is writable and has room");
}

}  // namespace

Result<Fd> lock_environment(Preparation& preparation, const fs::path& directory,
                            const std::string& maker,
                            const std::function<void(const std::string&)>& say) {
  const fs::path path = directory / "lock";
  while (true) {
    if (auto made = make_directories(directory); !made) {
      return Failure(no_cache(std::move(made).error()));
    }
    auto lock = open_file(path, O_RDWR | O_CREAT, 0600);
    if (!lock) return Failure(no_cache(std::move(lock).error()));
    MUSTER_TRY_ASSIGN(bool ours, try_lock(*lock, path));
    if (!ours) {
      say("waiting for " + holder(*lock) + ", which makes the same Python environment");
      MUSTER_TRY_ASSIGN(
          ours, preparation.wait_until([&] { return try_lock(*lock, path); },
                                       Preparation::Clock::now() + kLongestWait, kLookInterval));
      if (!ours) {
        return fail(ErrorCode::kResources,
                    "waited 6 h for the Python environment that " + holder(*lock) + " makes");
      }
    }
    if (!is_still_there(*lock, path)) continue;
    if (::ftruncate(lock->get(), 0) == 0) {
      static_cast<void>(::pwrite(lock->get(), maker.data(), maker.size(), 0));
    }
    return std::move(*lock);
  }
}

}  // namespace muster::python_env
