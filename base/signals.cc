#include "base/signals.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace muster {

Result<SignalFd> SignalFd::block(const sigset_t& signals) {
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "blocking signals"));
  }
  Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return Failure(system_error(ErrorCode::kInternal, "opening a signalfd"));
  return SignalFd(std::move(fd));
}

std::optional<signalfd_siginfo> SignalFd::read() const {
  signalfd_siginfo info{};
  const ssize_t got = ::read(fd_.get(), &info, sizeof info);
  if (got != static_cast<ssize_t>(sizeof info)) return std::nullopt;
  return info;
}

AllSignalsBlocked::AllSignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before_);
}

AllSignalsBlocked::~AllSignalsBlocked() {
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

sigset_t signal_set(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal_number : signals) ::sigaddset(&set, signal_number);
  return set;
}

sigset_t all_but_faults() {
  sigset_t set;
  ::sigfillset(&set);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    ::sigdelset(&set, fault);
  }
  return set;
}

void stop_this_process() {
  const sigset_t stop = signal_set({SIGTSTP});
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // here it stops
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
}

void restore_child_signal() {
  ::signal(SIGCHLD, SIG_DFL);
}

void ensure_standard_descriptors() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR);  // NOLINT(android-cloexec-open): children get it
    if (fd < 0) return;
    if (fd > 2) {
      ::close(fd);
      return;
    }
  }
}

}  // namespace muster
