#include "base/process.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/support/child_output.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"
#include "tests/support/seccomp.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using test::forbid;
using test::run_child_process;
using test::shell;
using Stage = StartFailure::Stage;

constexpr auto kPatience = 20s;  // for what takes milliseconds

// The same on every architecture; old headers lack the names.
constexpr long kPidfdOpen = 434;
constexpr long kCloseRange = 436;

ChildSpec program(const std::string& path, std::vector<std::string> arguments = {}) {
  ChildSpec spec;
  spec.program = path;
  spec.argv = {path};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  spec.search_path = "/usr/bin:/bin";
  return spec;
}

StartFailure failure_of(const ChildSpec& spec) {
  auto child = Child::start(spec);
  if (!child) return child.error();
  ADD_FAILURE() << spec.program << " was started";
  return {};
}

template <typename Condition>
bool comes_true(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    detail::pause_briefly();
  }
  return true;
}

bool is_running(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  return stat && stat->find(") Z") == std::string::npos;
}

class ProcessTest : public test::ScratchTest {};

// ---- exec's failures are not the program's exits ----

TEST_F(ProcessTest, TheProgramsOwn126And127AreItsOwn) {
  EXPECT_EQ(run_child_process(shell("exit 126")).status, ExitStatus::exited(126));
  EXPECT_EQ(run_child_process(shell("exit 127")).status, ExitStatus::exited(127));
}

TEST_F(ProcessTest, AMissingFileIs127) {
  const ChildSpec spec = program((scratch() / "none").string());
  const StartFailure failure = failure_of(spec);
  EXPECT_EQ(failure.stage, Stage::kExec);
  EXPECT_EQ(failure.exit_code(), 127);
  EXPECT_EQ(failure.describe(spec), "executing " + spec.program + ": No such file or directory");
}

TEST_F(ProcessTest, AFileBelowAFileIs127) {
  write("file", "x");
  EXPECT_EQ(failure_of(program((scratch() / "file/program").string())).exit_code(), 127);
}

TEST_F(ProcessTest, ANameThatIsNotOnPathIs127AndSaysSo) {
  const ChildSpec spec = program("no-such-program-at-all");
  const StartFailure failure = failure_of(spec);
  EXPECT_EQ(failure.exit_code(), 127);
  EXPECT_EQ(failure.describe(spec), "executing no-such-program-at-all: not found on PATH");
}

TEST_F(ProcessTest, NoProgramAtAllIs127) {
  EXPECT_EQ(failure_of(program("")).exit_code(), 127);
}

TEST_F(ProcessTest, AFileThatMayNotBeExecutedIs126) {
  const ChildSpec spec = program(write("script", "#!/bin/sh\n", 0644).string());
  const StartFailure failure = failure_of(spec);
  EXPECT_EQ(failure.stage, Stage::kExec);
  EXPECT_EQ(failure.exit_code(), 126);
  EXPECT_EQ(failure.describe(spec), "executing " + spec.program + ": Permission denied");
}

TEST_F(ProcessTest, ADirectoryIs126) {
  EXPECT_EQ(failure_of(program(scratch().string())).exit_code(), 126);
}

TEST_F(ProcessTest, AMissingInterpreterIs127) {
  EXPECT_EQ(failure_of(program(write("script", "#!/no/such/sh\n", 0755).string())).exit_code(),
            127);
}

TEST_F(ProcessTest, AMissingWorkingDirectoryIsNamed) {
  ChildSpec spec = program("/bin/true");
  spec.working_directory = (scratch() / "none").string();
  const StartFailure failure = failure_of(spec);
  EXPECT_EQ(failure.stage, Stage::kWorkingDirectory);
  EXPECT_EQ(failure.exit_code(), 126);
  EXPECT_EQ(failure.describe(spec),
            "entering " + spec.working_directory + ": No such file or directory");
}

TEST_F(ProcessTest, AnImpossibleLimitIsASetupFailure) {
  ChildSpec spec = program("/bin/true");
  spec.limits = {{RLIMIT_NOFILE, {100, 50}}};  // soft above hard
  EXPECT_EQ(failure_of(spec).stage, Stage::kSetup);
}

TEST_F(ProcessTest, AFailedStartLeavesNoChild) {
  failure_of(program((scratch() / "none").string()));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

// ---- what is found and run ----

TEST_F(ProcessTest, AScriptWithoutAFirstLineIsRunByTheShell) {
  const auto output = run_child_process(
      program(write("script", "echo \"$0|$1|$2\"\n", 0755).string(), {"a b", "c"}));
  EXPECT_EQ(output.text, (scratch() / "script").string() + "|a b|c\n");
}

// Shells take it for a script that succeeds; a training that did nothing has not succeeded.
TEST_F(ProcessTest, AnEmptyExecutableFileIsRefused) {
  const auto child = Child::start(program(write("empty", "", 0755).string()));
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().exit_code(), 126);
}

TEST_F(ProcessTest, SearchesPathInItsOrder) {
  write("a/tool", "#!/bin/sh\necho a\n", 0755);
  write("b/tool", "#!/bin/sh\necho b\n", 0755);
  ChildSpec spec = program("tool");
  spec.search_path = "/nowhere:" + (scratch() / "b").string() + ":" + (scratch() / "a").string();
  EXPECT_EQ(run_child_process(spec).text, "b\n");
}

TEST_F(ProcessTest, AFileThatMayNotBeExecutedIsPassedOverButRemembered) {
  write("a/tool", "#!/bin/sh\necho a\n", 0644);
  write("b/tool", "#!/bin/sh\necho b\n", 0755);
  ChildSpec spec = program("tool");
  spec.search_path = (scratch() / "a").string() + ":" + (scratch() / "b").string();
  EXPECT_EQ(run_child_process(spec).text, "b\n");
  spec.search_path = (scratch() / "a").string() + ":/nowhere";
  EXPECT_EQ(failure_of(spec).exit_code(), 126);
}

TEST_F(ProcessTest, AnEmptyPathElementIsTheWorkingDirectory) {
  write("tool", "#!/bin/sh\necho here\n", 0755);
  ChildSpec spec = program("tool");
  spec.search_path = "/nowhere:";
  spec.working_directory = scratch().string();
  EXPECT_EQ(run_child_process(spec).text, "here\n");
}

TEST_F(ProcessTest, ARelativeProgramCountsFromTheWorkingDirectory) {
  write("bin/tool", "#!/bin/sh\npwd\n", 0755);
  ChildSpec spec = program("./bin/tool");
  spec.working_directory = scratch().string();
  EXPECT_EQ(run_child_process(spec).text, scratch().string() + "\n");
}

TEST_F(ProcessTest, GivesArgumentsAndEnvironmentByteForByte) {
  ChildSpec spec = shell("printf '%s|' \"$@\"; printf '%s' \"$WORD\"");
  const std::vector<std::string> words = {"", "a b", "it's", "\xff\xfe", "line\nbreak"};
  spec.argv.push_back("sh");
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  spec.environment.push_back("WORD=\xff=x");
  EXPECT_EQ(run_child_process(spec).text, join(words, "|") + "|\xff=x");
}

TEST_F(ProcessTest, TheEnvironmentIsTheSpecsAlone) {
  ::setenv("MUSTER_TEST_LEAK", "1", 1);
  ChildSpec spec = program("/usr/bin/env");
  spec.environment = {"ONLY=this"};
  EXPECT_EQ(run_child_process(spec).text, "ONLY=this\n");
  ::unsetenv("MUSTER_TEST_LEAK");
}

// ---- the state that a program starts in ----

TEST_F(ProcessTest, ChildrenSeeOnlyTheThreeStandardDescriptors) {
  // Without close-on-exec: what a careless parent of ours left open.
  const int leaked = ::open("/dev/null", O_RDONLY);
  const int far = ::fcntl(leaked, F_DUPFD, 500);
  const auto output = run_child_process(program("/bin/ls", {"/proc/self/fd"}));
  EXPECT_EQ(output.text, "0\n1\n2\n3\n") << "3 is ls's own, of the directory";
  ::close(leaked);
  ::close(far);
}

TEST_F(ProcessTest, DescriptorsAreClosedWithoutCloseRangeToo) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!forbid({kCloseRange}, ENOSYS)) return test::kSkip + "no seccomp filter allowed";
    const rlimit many{6000, 6000};
    ::setrlimit(RLIMIT_NOFILE, &many);
    for (const int from : {500, 5000}) static_cast<void>(::fcntl(0, F_DUPFD, from));
    const auto output = run_child_process(program("/bin/ls", {"/proc/self/fd"}));
    return output.text == "0\n1\n2\n3\n" ? "" : output.text;
  });
}

TEST_F(ProcessTest, TheSignalMaskIsEmptyAndSigpipeKills) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_BLOCK, &all, nullptr);
    const auto output =
        run_child_process(program("/bin/grep", {"-E", "^Sig(Blk|Ign):", "/proc/self/status"}));
    const unsigned long long pipe_bit = 1ULL << (SIGPIPE - 1);
    unsigned long long blocked = 1;
    unsigned long long ignored = pipe_bit;
    std::sscanf(output.text.c_str(), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored);
    return blocked == 0 && (ignored & pipe_bit) == 0 ? "" : output.text;
  });
}

TEST_F(ProcessTest, LeadsAProcessGroupOfItsOwnUnlessTold) {
  ChildSpec spec = program("/bin/sh", {"-c", "exec cut -d' ' -f1,5 /proc/self/stat"});
  int pid = 0;
  int group = 0;
  ASSERT_EQ(std::sscanf(run_child_process(spec).text.c_str(), "%d %d", &pid, &group), 2);
  EXPECT_EQ(group, pid);
  spec.new_process_group = false;
  ASSERT_EQ(std::sscanf(run_child_process(spec).text.c_str(), "%d %d", &pid, &group), 2);
  EXPECT_EQ(group, ::getpgrp());
}

TEST_F(ProcessTest, LimitsHoldInTheChildOnly) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  ChildSpec spec = shell("ulimit -Sn; ulimit -Hn");
  spec.limits = {{RLIMIT_NOFILE, {55, 66}}};
  EXPECT_EQ(run_child_process(spec).text, "55\n66\n");
  rlimit after{};
  ::getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(before.rlim_cur, after.rlim_cur);
}

TEST_F(ProcessTest, RedirectsItsStandardDescriptors) {
  const auto input = open_file(write("in", "from a file"), O_RDONLY);
  const auto errors = open_file(scratch() / "err", O_WRONLY | O_CREAT);
  ChildSpec spec = shell("cat; echo oops >&2");
  spec.stdin_fd = input->get();
  spec.stderr_fd = errors->get();
  EXPECT_EQ(run_child_process(spec).text, "from a file");
  EXPECT_EQ(read(scratch() / "err"), "oops\n");
}

// ---- the end ----

TEST_F(ProcessTest, TryReapGivesTheEndOnce) {
  auto child = Child::start(shell("exec sleep 100"));
  ASSERT_TRUE(child);
  EXPECT_TRUE(*child);
  child->signal(SIGTERM);
  std::optional<Reaped> reaped;
  ASSERT_TRUE(comes_true([&] { return (reaped = child->try_reap()).has_value(); }));
  EXPECT_EQ(reaped->status, ExitStatus::signaled(SIGTERM));
  EXPECT_FALSE(*child);
  EXPECT_EQ(child->try_reap(), std::nullopt);
  child->signal(SIGKILL);  // goes nowhere, whoever has that pid by now
}

TEST_F(ProcessTest, TryReapDoesNotWait) {
  auto child = Child::start(shell("exec sleep 100"));
  ASSERT_TRUE(child);
  EXPECT_EQ(child->try_reap(), std::nullopt);
  EXPECT_TRUE(*child);
}

TEST_F(ProcessTest, TheExitDescriptorBecomesReadableAtTheEnd) {
  auto child = Child::start(shell("exec sleep 100"));
  ASSERT_TRUE(child);
  if (child->exit_fd() < 0) GTEST_SKIP() << "this kernel or sandbox has no pidfd";
  pollfd exit{child->exit_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&exit, 1, 0), 0);
  child->signal(SIGKILL);
  EXPECT_EQ(::poll(&exit, 1, 20'000), 1);
  EXPECT_EQ(child->reap().status, ExitStatus::signaled(SIGKILL));
}

TEST_F(ProcessTest, WithoutAPidfdAChildIsStartedSignalledAndReaped) {
  for (const int error_number : {EPERM, ENOSYS}) {
    MUSTER_EXPECT_IN_FORK([error_number]() -> std::string {
      if (!forbid({kPidfdOpen}, error_number)) return test::kSkip + "no seccomp filter allowed";
      auto child = Child::start(shell("exec sleep 100"));
      if (!child) return "it was not started";
      if (child->exit_fd() != -1) return "there is a pidfd";
      child->signal_group(SIGTERM);
      std::optional<Reaped> reaped;
      if (!comes_true([&] { return (reaped = child->try_reap()).has_value(); }))
        return "not reaped";
      return reaped->status == ExitStatus::signaled(SIGTERM) ? "" : reaped->status.describe();
    });
  }
}

TEST_F(ProcessTest, ReapedByAnotherItIsStillOver) {
  auto child = Child::start(shell("exit 0"));
  ASSERT_TRUE(child);
  ASSERT_EQ(::waitpid(child->pid(), nullptr, 0), child->pid());
  EXPECT_TRUE(child->try_reap());
  EXPECT_FALSE(*child);
}

TEST_F(ProcessTest, SignalsReachTheGroupWithWhatTheChildStarted) {
  auto pipe = make_pipe();
  ChildSpec spec = shell("sleep 100 & echo $!; wait");
  spec.stdout_fd = pipe->write_end.get();
  auto child = Child::start(spec);
  ASSERT_TRUE(child);
  char text[32] = {};
  ASSERT_GT(::read(pipe->read_end.get(), text, sizeof text - 1), 0);
  const pid_t grandchild = std::atoi(text);
  ASSERT_TRUE(is_running(grandchild));
  child->signal_group(SIGTERM);
  EXPECT_EQ(child->reap().status, ExitStatus::signaled(SIGTERM));
  EXPECT_TRUE(comes_true([&] { return !is_running(grandchild); }));
}

TEST_F(ProcessTest, AForgottenChildIsKilledWithItsGroupAndReaped) {
  auto pipe = make_pipe();
  pid_t pid = 0;
  pid_t grandchild = 0;
  {
    ChildSpec spec = shell("trap '' TERM HUP INT; sleep 100 & echo $!; wait");
    spec.stdout_fd = pipe->write_end.get();
    const auto child = Child::start(spec);
    ASSERT_TRUE(child);
    pid = child->pid();
    char text[32] = {};
    ASSERT_GT(::read(pipe->read_end.get(), text, sizeof text - 1), 0);
    grandchild = std::atoi(text);
  }
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1) << "it is reaped";
  EXPECT_FALSE(test::process_exists(pid));
  EXPECT_TRUE(comes_true([&] { return !is_running(grandchild); }));
}

TEST_F(ProcessTest, MovedChildrenAreReapedOnce) {
  auto first = Child::start(shell("exec sleep 100"));
  auto second = Child::start(shell("exit 3"));
  ASSERT_TRUE(first && second);
  const pid_t pid = first->pid();
  Child moved = std::move(*second);
  EXPECT_FALSE(*second);
  EXPECT_EQ(moved.reap().status, ExitStatus::exited(3));
  moved = std::move(*first);
  EXPECT_EQ(moved.pid(), pid);
}

TEST_F(ProcessTest, ReportsItsUsage) {
  auto child = Child::start(shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"));
  ASSERT_TRUE(child);
  const Reaped reaped = child->reap();
  EXPECT_TRUE(reaped.status.ok());
  EXPECT_GT(reaped.usage.ru_maxrss, 0);
  EXPECT_GT(reaped.usage.ru_utime.tv_sec * 1'000'000 + reaped.usage.ru_utime.tv_usec +
                reaped.usage.ru_stime.tv_sec * 1'000'000 + reaped.usage.ru_stime.tv_usec,
            0);
}

// ---- the parent's death ----

TEST_F(ProcessTest, TheParentsDeathIsTheChilds) {
  auto pid_pipe = make_pipe();
  const pid_t parent = ::fork();
  if (parent == 0) {
    ChildSpec spec = shell("trap '' HUP TERM; while :; do sleep 1; done");
    spec.parent_death_signal = SIGKILL;
    auto child = Child::start(spec);
    const pid_t pid = child ? child->pid() : -1;
    static_cast<void>(!::write(pid_pipe->write_end.get(), &pid, sizeof pid));
    ::pause();
    ::_exit(1);
  }
  pid_t pid = -1;
  ASSERT_EQ(::read(pid_pipe->read_end.get(), &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(is_running(pid));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(comes_true([&] { return !is_running(pid); }));
}

TEST_F(ProcessTest, ParentDeathSignalTellsWhetherTheParentIsStillThere) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!set_parent_death_signal(SIGKILL, ::getppid())) return "the parent is there";
    return set_parent_death_signal(SIGKILL, ::getppid() + 1) ? "that is not the parent" : "";
  });
}

TEST_F(ProcessTest, OwnEnvironmentHasEveryVariable) {
  ::setenv("MUSTER_TEST_VARIABLE", "a=b", 1);
  bool found = false;
  for (const std::string& variable : own_environment()) {
    found = found || variable == "MUSTER_TEST_VARIABLE=a=b";
  }
  EXPECT_TRUE(found);
  ::unsetenv("MUSTER_TEST_VARIABLE");
}

}  // namespace
}  // namespace muster
