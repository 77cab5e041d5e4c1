#include "launcher/report/followed_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::report {
namespace {

constexpr std::uint64_t kBlock = 128 * 1024;

}  // namespace

void FollowedFile::look() {
  if (!fd_) {
    fd_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!fd_) {
      failure_ = errno == ENOENT ? 0 : errno;
      return;
    }
    failure_ = 0;
  }
  struct stat status {};
  if (::fstat(fd_.get(), &status) == 0) size_ = static_cast<std::uint64_t>(status.st_size);
}

std::string_view FollowedFile::read_block(std::string& buffer, std::uint64_t end) {
  end = std::min(end, size_);
  if (offset_ >= end || failure_ != 0) return {};
  buffer.resize(kBlock);
  const auto wanted = std::min<std::uint64_t>(kBlock, end - offset_);
  const ssize_t count = ::pread(fd_.get(), buffer.data(), static_cast<std::size_t>(wanted),
                                static_cast<off_t>(offset_));
  if (count < 0 && errno != EINTR) failure_ = errno;
  if (count <= 0) return {};
  offset_ += static_cast<std::uint64_t>(count);
  return {buffer.data(), static_cast<std::size_t>(count)};
}

std::uint64_t FollowedFile::behind_newline(std::uint64_t end, std::uint64_t newlines) const {
  std::string block(kBlock, '\0');
  while (end > 0) {
    const std::uint64_t length = std::min<std::uint64_t>(kBlock, end);
    const std::uint64_t start = end - length;
    const ssize_t count = ::pread(fd_.get(), block.data(), static_cast<std::size_t>(length),
                                  static_cast<off_t>(start));
    if (count < static_cast<ssize_t>(length)) return end;  // it was cut: what follows can be shown
    std::size_t left = static_cast<std::size_t>(length);
    while (const void* found = left == 0 ? nullptr : ::memrchr(block.data(), '\n', left)) {
      left = static_cast<std::size_t>(static_cast<const char*>(found) - block.data());
      if (--newlines == 0) return start + left + 1;
    }
    end = start;
  }
  return 0;
}

std::uint64_t FollowedFile::line_start(std::uint64_t offset) const {
  return behind_newline(std::min(offset, size_), 1);
}

std::uint64_t FollowedFile::last_lines_start(std::uint64_t end, std::uint64_t count) const {
  end = std::min(end, size_);
  if (end == 0 || count == 0) return end;
  // The newline that ends the last line is none between two.
  char last = '\0';
  const bool ended = ::pread(fd_.get(), &last, 1, static_cast<off_t>(end - 1)) == 1 && last == '\n';
  return behind_newline(ended ? end - 1 : end, count);
}

}  // namespace muster::report
