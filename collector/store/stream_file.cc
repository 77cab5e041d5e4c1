#include "collector/store/stream_file.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace muster::store {

Result<StreamFile> StreamFile::create(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return Failure(system_error(ErrorCode::kRunDirectory, "creating " + path.string()));
  return StreamFile(path, std::move(fd));
}

Result<> StreamFile::append(std::string_view bytes) {
  if (!broken_ && !bytes.empty()) times_.note(size_, std::chrono::system_clock::now());
  while (!broken_ && !bytes.empty()) {
    const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      broken_ = true;
      lost_bytes_ += bytes.size();
      return Failure(system_error(ErrorCode::kRunDirectory, "writing " + path_.string()));
    }
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  lost_bytes_ += bytes.size();
  return {};
}

}  // namespace muster::store
