#include "launcher/report/patient_writer.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

// Our stdout is shared with whoever started us, so it cannot be made non-blocking: that flag
// belongs to the open file, not to us.  Instead each write is preceded by poll() and is small: a
// pipe that is writable takes PIPE_BUF bytes without blocking.
namespace muster::report {
namespace {

bool is_regular_file(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

Result<Deadline> Deadline::create() {
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return Failure(system_error(ErrorCode::kResources, "making an event descriptor"));
  return Deadline(std::move(event));
}

void Deadline::set(Clock::time_point at) {
  at_.store(at.time_since_epoch().count(), std::memory_order_release);
  ::eventfd_write(event_.get(), 1);
}

bool Deadline::passed() const {
  return is_set() && Clock::now().time_since_epoch().count() >= at_.load();
}

int Deadline::remaining_milliseconds() const {
  const Clock::rep at = at_.load(std::memory_order_acquire);
  if (at == kNever) return -1;
  const auto left = Clock::duration(at) - Clock::now().time_since_epoch();
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(whole, 0, INT_MAX));
}

PatientWriter::PatientWriter(int fd, const Deadline& deadline)
    : fd_(fd), deadline_(deadline), never_blocks_(is_regular_file(fd)) {}

void PatientWriter::write(std::string_view bytes) {
  while (!bytes.empty() && working() && !cut_) {
    if (!never_blocks_ && !wait_until_writable()) return;
    const std::size_t piece =
        never_blocks_ ? bytes.size() : std::min<std::size_t>(bytes.size(), PIPE_BUF);
    const ssize_t written = ::write(fd_, bytes.data(), piece);
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      failure_ = errno;
    }
  }
}

// False: the deadline has passed.  What can be written without waiting is written even then: when
// the reader of stdout sleeps, stderr still gets the report.
bool PatientWriter::wait_until_writable() {
  while (true) {
    const bool hurried = deadline_.is_set();
    pollfd watched[2] = {{fd_, POLLOUT, 0}, {deadline_.fd(), POLLIN, 0}};
    const int ready = ::poll(watched, hurried ? 1 : 2, deadline_.remaining_milliseconds());
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || watched[0].revents != 0) return true;  // an error shows in write() as well
    if (deadline_.passed()) {
      cut_ = true;
      return false;
    }
  }
}

}  // namespace muster::report
