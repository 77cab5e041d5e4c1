#include "base/fd.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace muster {

void Fd::reset(int fd) {
  if (const int old = std::exchange(fd_, fd); old >= 0 && old != fd) ::close(old);
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Failure(system_error(ErrorCode::kResources, "making a pipe"));
  }
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return Failure(system_error(ErrorCode::kInternal, "opening " + path.string()));
  return fd;
}

Result<> set_nonblocking(const Fd& fd, bool nonblocking) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  const int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, wanted) < 0) {
    return Failure(system_error(ErrorCode::kInternal, "setting O_NONBLOCK"));
  }
  return {};
}

Result<> write_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return Failure(system_error(ErrorCode::kInternal, "writing"));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Error system_error(ErrorCode code, std::string_view doing) {
  return system_error(code, doing, errno);
}

Error system_error(ErrorCode code, std::string_view doing, int error_number) {
  return Error{code, std::string(doing) + ": " + ::strerror(error_number), {}, std::nullopt};
}

}  // namespace muster
