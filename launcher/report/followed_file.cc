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
  std::string_view block(buffer.data(), static_cast<std::size_t>(count));
  if (passes_holes_) {
    const std::size_t bytes = bytes_before_hole(block, offset_);
    if (bytes == 0) return pass_hole(end) ? read_block(buffer, end) : std::string_view();
    block = block.substr(0, bytes);
  }
  offset_ += block.size();
  return block;
}

// What was never written, or was freed, reads as zeros; zeros that a rank wrote are bytes.
std::size_t FollowedFile::bytes_before_hole(std::string_view block, std::uint64_t offset) const {
  const std::size_t zero = block.find('\0');
  if (zero == std::string_view::npos) return block.size();
  const off_t hole = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_HOLE);
  if (hole < 0) return block.size();
  const auto before = static_cast<std::uint64_t>(hole) - offset;
  return static_cast<std::size_t>(std::min<std::uint64_t>(before, block.size()));
}

// False: nothing follows it.
bool FollowedFile::pass_hole(std::uint64_t end) {
  const off_t data = ::lseek(fd_.get(), static_cast<off_t>(offset_), SEEK_DATA);
  const std::uint64_t to =
      data < 0 ? end : std::min<std::uint64_t>(end, static_cast<std::uint64_t>(data));
  if (to <= offset_) return false;
  if (hole_ && hole_->to == offset_) {
    hole_->to = to;
  } else {
    hole_ = Hole{offset_, to};
  }
  offset_ = to;
  return offset_ < end;
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
