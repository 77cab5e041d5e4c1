#include "collector/store/append_file.h"

#include <cerrno>
#include <sys/types.h>
#include <unistd.h>

namespace muster::store {

bool is_out_of_room(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

AppendFile::AppendFile(Fd fd, std::string name, std::uint64_t size)
    : fd_(std::move(fd)), name_(std::move(name)), size_(size) {
  if (size == 0) digest_.emplace();
}

Result<> AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    // At its place rather than at the end: what a failed write left behind it is overwritten.
    const ssize_t written =
        ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      error_number_ = written < 0 ? errno : EIO;
      return Failure(system_error(ErrorCode::kRunDirectory, "writing " + name_, error_number_));
    }
    const auto count = static_cast<std::size_t>(written);
    if (digest_) digest_->update(bytes.substr(0, count));
    size_ += count;
    bytes.remove_prefix(count);
  }
  return {};
}

Result<> AppendFile::extend(std::uint64_t count) {
  int result = -1;
  do {
    result = ::ftruncate(fd_.get(), static_cast<off_t>(size_ + count));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    error_number_ = errno;
    return Failure(system_error(ErrorCode::kRunDirectory, "extending " + name_));
  }
  size_ += count;
  return {};
}

Result<> AppendFile::append_zeros(std::uint64_t count) {
  MUSTER_TRY(extend(count));
  if (digest_) digest_->update_zeros(count);
  return {};
}

Result<> AppendFile::skip(std::uint64_t count) {
  return extend(count);
}

Result<> AppendFile::cut_back(std::uint64_t size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    error_number_ = errno;
    return Failure(system_error(ErrorCode::kRunDirectory, "cutting " + name_));
  }
  size_ = size;
  digest_.reset();
  if (size == 0) digest_.emplace();
  return {};
}

std::optional<std::string> AppendFile::digest() const {
  if (!digest_) return std::nullopt;
  return digest_->hex();
}

void AppendFile::set_digest(Digest digest) {
  digest_ = std::move(digest);
}

}  // namespace muster::store
