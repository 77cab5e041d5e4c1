// Everything that was started below a process can be ended by it, however it tried to get away.

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/process.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 20s;

// Double-forks a process that leads its own session and ignores what can be ignored; its pid.
pid_t start_runaway(int depth = 1) {
  auto pipe = make_pipe();
  const pid_t middle = ::fork();
  if (middle == 0) {
    ::setsid();
    for (int level = 0; level < depth; ++level) {
      if (::fork() != 0) ::_exit(0);
      ::setsid();
    }
    for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGQUIT}) std::signal(number, SIG_IGN);
    const pid_t own = ::getpid();
    static_cast<void>(!::write(pipe->write_end.get(), &own, sizeof own));
    pipe->write_end.reset();
    while (true) ::pause();
  }
  pid_t runaway = -1;
  static_cast<void>(!::read(pipe->read_end.get(), &runaway, sizeof runaway));
  ::waitpid(middle, nullptr, 0);
  return runaway;
}

std::string expect_gone(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) {
    if (::kill(pid, 0) == 0) return "process " + std::to_string(pid) + " is still there";
  }
  if (::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD) return "a child is left";
  return "";
}

const auto kSpareNobody = [](pid_t) { return false; };

TEST(ContainmentTest, ASubreaperEndsDoubleForkersInTheirOwnSessions) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    become_child_subreaper();
    std::vector<pid_t> runaways;
    for (int i = 0; i < 5; ++i) runaways.push_back(start_runaway(1 + i % 3));
    const int killed = kill_children_until_none(kSpareNobody, Clock::now() + kPatience);
    if (killed < 5) return "killed only " + std::to_string(killed);
    return expect_gone(runaways);
  });
}

TEST(ContainmentTest, ChildrenOfTheKilledAreKilledToo) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    become_child_subreaper();
    auto pipe = make_pipe();
    const pid_t parent = ::fork();
    if (parent == 0) {  // its runaway becomes ours only when it dies
      become_child_subreaper();
      const pid_t runaway = start_runaway(2);
      static_cast<void>(!::write(pipe->write_end.get(), &runaway, sizeof runaway));
      while (true) ::pause();
    }
    pid_t runaway = -1;
    static_cast<void>(!::read(pipe->read_end.get(), &runaway, sizeof runaway));
    kill_children_until_none(kSpareNobody, Clock::now() + kPatience);
    return expect_gone({parent, runaway});
  });
}

TEST(ContainmentTest, ProcessesThatKeepForkingAreEndedToo) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    become_child_subreaper();
    if (::fork() == 0) {
      // A chain: each link starts the next in a session of its own and goes.
      while (true) {
        ::setsid();
        if (::fork() != 0) ::_exit(0);
        ::usleep(200);
      }
    }
    kill_children_until_none(kSpareNobody, Clock::now() + kPatience);
    return expect_gone({});
  });
}

TEST(ContainmentTest, TheSparedOneIsNeitherKilledNorReaped) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    become_child_subreaper();
    const pid_t spared = ::fork();
    if (spared == 0) ::_exit(7);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(spared), &info, WEXITED | WNOWAIT);
    const pid_t runaway = start_runaway();
    kill_children_until_none([&](pid_t pid) { return pid == spared; }, Clock::now() + kPatience);
    if (::kill(runaway, 0) == 0) return "the runaway is still there";
    int status = 0;
    if (::waitpid(spared, &status, WNOHANG) != spared) return "the spared one was reaped";
    return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? "" : "the spared one was killed";
  });
}

TEST(ContainmentTest, EndedOnesAreReapedAndNotCountedAsKilled) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const pid_t ended = ::fork();
    if (ended == 0) ::_exit(0);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(ended), &info, WEXITED | WNOWAIT);
    const int killed = kill_children_until_none(kSpareNobody, Clock::now() + kPatience);
    if (killed != 0) return "killed " + std::to_string(killed);
    return expect_gone({ended});
  });
}

TEST(ContainmentTest, StopsAtItsDeadline) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const pid_t child = ::fork();
    if (child == 0) {
      while (true) ::pause();
    }
    // The deadline has passed: one round is made, and it does not wait for what that round began.
    kill_children_until_none(kSpareNobody, Clock::now() - 1s);
    return ::waitpid(child, nullptr, 0) == child || errno == ECHILD ? "" : "not killed";
  });
}

TEST(ContainmentTest, FindsTheChildrenOfEveryThread) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    pid_t of_thread = -1;
    auto pipe = make_pipe();
    auto stay = make_pipe();
    std::thread thread([&] {
      of_thread = ::fork();
      if (of_thread == 0) {
        while (true) ::pause();
      }
      static_cast<void>(!::write(pipe->write_end.get(), "x", 1));
      char byte = 0;
      static_cast<void>(!::read(stay->read_end.get(), &byte, 1));
    });
    char byte = 0;
    static_cast<void>(!::read(pipe->read_end.get(), &byte, 1));
    const auto children = children_of_this_process();
    const bool found = std::find(children.begin(), children.end(), of_thread) != children.end();
    static_cast<void>(!::write(stay->write_end.get(), "x", 1));
    thread.join();
    ::kill(of_thread, SIGKILL);
    ::waitpid(of_thread, nullptr, 0);
    return found ? "" : "the thread's child is not listed";
  });
}

TEST(ContainmentTest, AProcessThatIsGoneHasNoChildren) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ::waitpid(pid, nullptr, 0);
  EXPECT_TRUE(children_of(pid).empty());
}

}  // namespace
}  // namespace muster
