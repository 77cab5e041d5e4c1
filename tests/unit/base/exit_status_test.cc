#include "base/exit_status.h"

#include <csignal>
#include <functional>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace muster {
namespace {

ExitStatus status_of(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    body();
    ::_exit(99);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return ExitStatus::from_wait(status);
}

[[noreturn]] void die_by(int signal_number) {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  std::signal(signal_number, SIG_DFL);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
  ::kill(::getpid(), signal_number);
  ::_exit(98);
}

TEST(ExitStatusTest, KeepsAll256Codes) {
  for (int code = 0; code < 256; ++code) {
    const ExitStatus status = status_of([code] { ::_exit(code); });
    ASSERT_EQ(status, ExitStatus::exited(code));
    ASSERT_EQ(status.as_exit_code(), code);
    ASSERT_EQ(status.ok(), code == 0);
  }
}

TEST(ExitStatusTest, KeepsEverySignalThatEndsAProcess) {
  for (const int number :
       {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
        SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGSYS, SIGRTMIN, SIGRTMAX}) {
    ExitStatus status = status_of([number] { die_by(number); });
    status.core_dumped = false;  // where core_pattern is a pipe, the limit of 0 does not hold
    ASSERT_EQ(status, ExitStatus::signaled(number));
    ASSERT_EQ(status.as_exit_code(), 128 + number);
    ASSERT_FALSE(status.ok());
  }
}

TEST(ExitStatusTest, TheCoreBitIsNoPartOfTheSignal) {
  constexpr int kCoreBit = 0x80;
  const ExitStatus status = ExitStatus::from_wait(SIGSEGV | kCoreBit);
  EXPECT_EQ(status.value, SIGSEGV);
  EXPECT_TRUE(status.core_dumped);
  EXPECT_EQ(status.as_exit_code(), 139);
  EXPECT_EQ(status.describe(), "killed by SIGSEGV (signal 11), core dumped");
}

TEST(ExitStatusTest, ExitedWith9IsNotKilledBy9) {
  EXPECT_NE(ExitStatus::exited(9), ExitStatus::signaled(9));
  EXPECT_EQ(ExitStatus::exited(9).describe(), "exited with 9");
  EXPECT_EQ(ExitStatus::signaled(9).describe(), "killed by SIGKILL (signal 9)");
  EXPECT_EQ(ExitStatus::exited(137).as_exit_code(), ExitStatus::signaled(9).as_exit_code());
}

TEST(ExitStatusTest, ASignalWithoutANameIsItsNumberOnce) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(77), "signal 77");
  EXPECT_EQ(ExitStatus::signaled(50).describe(), "killed by signal 50");
}

}  // namespace
}  // namespace muster
