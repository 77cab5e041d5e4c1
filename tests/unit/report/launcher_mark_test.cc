#include "launcher/report/launcher_mark.h"

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/report/run_state.h"
#include "tests/support/scratch.h"

namespace muster::report {
namespace {

class LauncherMarkTest : public test::ScratchTest {
 protected:
  ~LauncherMarkTest() override { end_child(); }

  static std::string host() {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    return name;
  }

  // A process that has this mark and lives until end_child().
  LauncherMark child_mark() {
    child_ = ::fork();
    if (child_ == 0) {
      ::pause();
      ::_exit(0);
    }
    LauncherMark mark = own_launcher_mark(host(), false);
    mark.pid = child_;
    mark.start_time = 0;
    return mark;
  }

  void kill_child() const {
    ::kill(child_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT);
  }

  void end_child() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }

  LauncherLife life(const LauncherMark& mark) const { return launcher_life(mark, run_); }

  store::RunDirectory run_{scratch()};
  pid_t child_ = 0;
};

TEST_F(LauncherMarkTest, ThisProcessIsAlive) {
  const LauncherMark mark = own_launcher_mark(host(), false);
  EXPECT_GT(mark.start_time, 0U);
  EXPECT_EQ(life(mark), LauncherLife::kAlive);
}

TEST_F(LauncherMarkTest, AnotherProcessWithItsPidIsNotIt) {
  LauncherMark mark = own_launcher_mark(host(), false);
  ++mark.start_time;
  EXPECT_EQ(life(mark), LauncherLife::kGone);
}

TEST_F(LauncherMarkTest, AKilledOneIsGoneAlsoWhenNobodyReapsIt) {
  const LauncherMark mark = child_mark();
  EXPECT_EQ(life(mark), LauncherLife::kAlive);
  kill_child();
  EXPECT_EQ(life(mark), LauncherLife::kGone);
  end_child();
  EXPECT_EQ(life(mark), LauncherLife::kGone);
}

TEST_F(LauncherMarkTest, InAnotherContainerTheLockTells) {
  LauncherMark mark = own_launcher_mark("container", true);
  mark.pid_namespace = "pid:[1]";
  {
    const Fd lock = run_.lock();
    ASSERT_TRUE(lock);
    EXPECT_EQ(life(mark), LauncherLife::kAlive);
    EXPECT_EQ(life(mark), LauncherLife::kAlive) << "looking takes no lock away";
    EXPECT_FALSE(run_.lock()) << "it is held once";
  }
  EXPECT_EQ(life(mark), LauncherLife::kGone);
  mark.holds_lock = false;
  EXPECT_EQ(life(mark), LauncherLife::kUnknown) << "it never had one";
}

TEST_F(LauncherMarkTest, AfterARebootItIsGoneAndOnAnotherMachineUnknown) {
  LauncherMark mark = own_launcher_mark(host(), true);
  mark.boot_id = "another";
  EXPECT_EQ(life(mark), LauncherLife::kGone);
  mark.hostname = "another";
  EXPECT_EQ(life(mark), LauncherLife::kUnknown);
}

TEST_F(LauncherMarkTest, ARunIsLostWhenItsLauncherIsGoneWithoutAWord) {
  const auto json = [](const LauncherMark& mark, const std::string& rest) {
    return "{\"status\": \"running\", \"hostname\": \"" + mark.hostname +
           "\", \"launcher_pid\": " + std::to_string(mark.pid) +
           ", \"launcher\": {\"start_time\": " + std::to_string(mark.start_time) +
           ", \"boot_id\": \"" + mark.boot_id + "\", \"pid_namespace\": \"" + mark.pid_namespace +
           "\"}" + rest + "}";
  };
  LauncherMark mark = own_launcher_mark(host(), false);
  write("run.json", json(mark, ""));
  EXPECT_EQ(look_at_run(run_)->phase, RunPhase::kRunning);
  ++mark.start_time;
  write("run.json", json(mark, ""));
  EXPECT_EQ(look_at_run(run_)->phase, RunPhase::kLost);
  EXPECT_EQ(look_at_run(run_)->word(), "lost");
  write("run.json", json(mark, ", \"ended_at\": \"2026-11-23T06:15:00Z\""));
  EXPECT_EQ(look_at_run(run_)->phase, RunPhase::kEnded);
}

}  // namespace
}  // namespace muster::report
