#include "collector/store/line_log.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::store {

void LineLog::add(std::string line) {
  line += '\n';
  pending_.push_back(std::move(line));
  static_cast<void>(flush());
}

void LineLog::add_later(std::string line) {
  line += '\n';
  pending_.push_back(std::move(line));
}

Result<> LineLog::flush() {
  constexpr std::size_t kMost = 1 << 16;  // of one write, which others' writes do not get into
  while (!pending_.empty()) {
    std::string text;
    std::size_t lines = 0;
    while (lines < pending_.size() &&
           (lines == 0 || text.size() + pending_[lines].size() <= kMost)) {
      text += pending_[lines++];
    }
    if (auto written = write(text); !written) {
      // Some may be there: a record that is there twice says the same twice.
      return written;
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(lines));
  }
  return {};
}

Result<> LineLog::write(const std::string& lines) {
  const auto failure = [&] {
    return Failure(system_error(ErrorCode::kRunDirectory, "writing " + path_.string()));
  };
  if (!fd_) fd_.reset(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  struct stat facts {};
  if (!fd_ || ::fstat(fd_.get(), &facts) != 0) return failure();
  // A record that was cut short by a crash or a full disk must not swallow this one.
  char last = '\n';
  if (facts.st_size > 0 && ::pread(fd_.get(), &last, 1, facts.st_size - 1) != 1) return failure();
  const std::string text = last == '\n' ? lines : "\n" + lines;
  ssize_t written = -1;
  do {
    written = ::write(fd_.get(), text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return failure();
  if (static_cast<std::size_t>(written) != text.size()) {
    return Failure(system_error(ErrorCode::kRunDirectory, "writing " + path_.string(), ENOSPC));
  }
  return {};
}

Result<> LineLog::sync() {
  MUSTER_TRY(flush());
  if (!fd_ || ::fdatasync(fd_.get()) == 0) return {};
  return Failure(system_error(ErrorCode::kRunDirectory, "syncing " + path_.string()));
}

}  // namespace muster::store
