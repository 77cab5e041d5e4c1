#include "base/signals.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/forked.h"

namespace muster {
namespace {

TEST(SignalFdTest, ReadsABlockedSignalWithItsSender) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const auto signals = SignalFd::block(signal_set({SIGUSR1, SIGTERM}));
    if (!signals) return signals.error().message;
    if (signals->read()) return "a signal before one was sent";
    ::kill(::getpid(), SIGTERM);
    const auto info = signals->read();
    if (!info) return "SIGTERM did not arrive";
    if (info->ssi_signo != SIGTERM) return "another signal";
    if (static_cast<pid_t>(info->ssi_pid) != ::getpid()) return "another sender";
    return signals->read() ? "it arrived twice" : "";
  });
}

TEST(SignalFdTest, ReadsEachOfSeveralSignals) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const auto signals = SignalFd::block(signal_set({SIGUSR1, SIGUSR2}));
    ::kill(::getpid(), SIGUSR2);
    ::kill(::getpid(), SIGUSR1);
    int seen = 0;
    while (const auto info = signals->read()) seen |= info->ssi_signo == SIGUSR1 ? 1 : 2;
    return seen == 3 ? "" : "seen: " + std::to_string(seen);
  });
}

TEST(SignalSetTest, AFaultOfOurOwnIsNeverBlocked) {
  const sigset_t set = all_but_faults();
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    EXPECT_EQ(sigismember(&set, fault), 0) << fault;
  }
  for (const int other : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE, SIGUSR1, SIGRTMIN + 3}) {
    EXPECT_EQ(sigismember(&set, other), 1) << other;
  }
}

TEST(StandardDescriptorsTest, ClosedOnesAreFilledAndNoneIsLeftOver) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    ::close(0);
    ::close(2);
    ensure_standard_descriptors();
    for (int fd = 0; fd <= 2; ++fd) {
      if (::fcntl(fd, F_GETFD) < 0) return "descriptor " + std::to_string(fd) + " is closed";
    }
    const auto pipe = make_pipe();
    if (pipe->read_end.get() <= 2 || pipe->write_end.get() <= 2) return "a pipe lands at 0..2";
    return "";
  });
}

}  // namespace
}  // namespace muster
