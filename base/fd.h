// Owner of one file descriptor, and the small system calls around it.  Every descriptor is born
// close-on-exec.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "muster/result.h"

namespace muster {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Result<Pipe> make_pipe();
Result<Fd> open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);
Result<> set_nonblocking(const Fd& fd, bool nonblocking);

// Writes all bytes of a blocking descriptor; retries after EINTR and short writes.
Result<> write_all(const Fd& fd, std::string_view bytes);

// An Error for a failed system call: "<doing>: <strerror>".  Reads errno unless given.
Error system_error(ErrorCode code, std::string_view doing);
Error system_error(ErrorCode code, std::string_view doing, int error_number);

}  // namespace muster
