// The console on a terminal, and its thread as the kernel sees it.
#include <atomic>
#include <csignal>
#include <fstream>
#include <set>
#include <sys/ioctl.h>
#include <thread>

#include <gmock/gmock.h>

#include "tests/unit/report/console_fixture.h"

namespace muster::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(ConsoleTest, PrintsLinesAboveTheStatusLine) {
  Console console(on_terminal(ConsoleMode::kRank0));
  follow(console, 0);
  console.set_status("2/2 ranks running");
  EXPECT_EQ(read_until(terminal_, "running"), "\r\x1b[K2/2 ranks running");
  append(out(0), "step 1\n");
  console.grown();
  EXPECT_EQ(read_until(terminal_, "running"), "\r\x1b[Kstep 1\r\n\r\x1b[K2/2 ranks running");
  console.print("muster: rank 1 ended");
  EXPECT_EQ(read_until(terminal_, "running"),
            "\r\x1b[Kmuster: rank 1 ended\r\n\r\x1b[K2/2 ranks running");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(read_rest(terminal_), "\r\x1b[K") << "nothing of it stays";
}

TEST_F(ConsoleTest, ShowsAProgressBarLiveAndOnlyItsEndAsALine) {
  Console console(on_terminal(ConsoleMode::kRank0));
  follow(console, 0);
  append(err(0), "\r 10%|#   |");
  console.grown();
  EXPECT_EQ(read_until(terminal_, "#   |"), "\r\x1b[K 10%|#   |");
  console.set_status("1/1 ranks");
  EXPECT_EQ(read_until(terminal_, "#   |"), "\r\x1b[K1/1 ranks   10%|#   |");
  append(err(0), "\r100%|####|\n");
  console.grown();
  EXPECT_EQ(read_until(terminal_, "1/1 ranks"), "\r\x1b[K100%|####|\r\n\r\x1b[K1/1 ranks");
}

TEST_F(ConsoleTest, CutsTheStatusLineToTheTerminal) {
  Console console(on_terminal(ConsoleMode::kRank0));
  console.set_status(std::string(100, 's'));
  EXPECT_EQ(read_until(terminal_, "…"), "\r\x1b[K" + std::string(36, 's') + "…");
}

TEST_F(ConsoleTest, LeavesTheTerminalToOthersBetweenSuspendAndResume) {
  Console console(on_terminal(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), "half a line");
  console.set_status("2/2 ranks running");
  console.grown();
  read_until(terminal_, "half a line");
  console.print("muster: 2 ranks stopped");
  console.suspend(30s);
  EXPECT_EQ(read_until(terminal_, "stopped\r\n"), "\r\x1b[Kmuster: 2 ranks stopped\r\n");
  console.set_status("still 2/2");
  console.suspend(30s);
  console.resume();
  EXPECT_EQ(read_until(terminal_, "half a line"), "\r\x1b[Kstill 2/2  half a line");
}

TEST_F(ConsoleTest, DrawsTheStatusLineAnewInANarrowerTerminal) {
  Console console(on_terminal(ConsoleMode::kRank0));
  console.set_status("123456789 123456789 1234567890");
  read_until(terminal_, "67890");
  const winsize narrow{24, 12, 0, 0};
  ASSERT_EQ(::ioctl(terminal_.get(), TIOCSWINSZ, &narrow), 0);
  console.redraw();
  EXPECT_EQ(read_until(terminal_, "…"), "\r\x1b[2A\x1b[J\r\x1b[K12345678…");
}

TEST_F(ConsoleTest, EndsWithTheLastLineAfterUnfinishedOnes) {
  Console console(on_pipes(ConsoleMode::kAll));
  follow(console, 0);
  append(err(0), "no newline");
  EXPECT_TRUE(console.finish("muster: the end", 30s));
  EXPECT_EQ(stderr_text(), "no newline\nmuster: the end\n");
}

TEST_F(ConsoleTest, HasNoStatusLineOnADumbTerminal) {
  ::setenv("TERM", "dumb", 1);
  Console console(on_terminal(ConsoleMode::kRank0));
  follow(console, 0);
  console.set_status("running");
  append(out(0), "step 1\n");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(read_rest(terminal_), "step 1\r\n");
}

TEST_F(ConsoleTest, HasNoStatusLineOnAPipe) {
  Console console(on_pipes(ConsoleMode::kRank0));
  console.set_status("running");
  console.print("muster: started");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stderr_text(), "muster: started\n");
}

TEST_F(ConsoleTest, TakesColoursOutOnlyWhenTheyAreNotWanted) {
  append(out(0), "\x1b[31mred\x1b[0m\n");
  {
    Console console(on_terminal(ConsoleMode::kRank0, true));
    follow(console, 0);
    EXPECT_TRUE(console.finish(5s));
    EXPECT_EQ(read_rest(terminal_), "\x1b[31mred\x1b[0m\r\n");
  }
  Console console(on_terminal(ConsoleMode::kRank0, false));
  follow(console, 0);
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(read_rest(terminal_), "red\r\n");
}

TEST_F(ConsoleTest, IsNotHeldUpByATerminalThatNobodyReads) {
  Console console(on_terminal(ConsoleMode::kRank0));
  follow(console, 0);
  std::string text;
  while (text.size() < (1 << 20))
    text += "a line of some length that fills the terminal's buffer\n";
  append(out(0), text);
  console.grown();
  console.set_status("running");
  std::this_thread::sleep_for(100ms);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_FALSE(console.finish(100ms));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 1s);
  // The thread may hang in the terminal; hanging up frees it.  It may still be on its way out of
  // write(), so the descriptor stays open, as stdout does in a program that ends.
  terminal_.reset();
  static_cast<void>(terminal_side_.release());
}

// The thread sanitizer starts a thread of its own beside our first one: it must be there before a
// test counts threads.
[[maybe_unused]] const bool had_a_thread = [] {
  std::thread([] {}).join();
  return true;
}();

class ConsoleThreadTest : public ConsoleTest {
 protected:
  static std::set<std::string> threads() {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
      found.insert(entry.path().string());
    }
    return found;
  }

  // The value of a line of /proc/…/status of the console's thread.
  std::string status(const std::string& name) const {
    for (const std::string& thread : threads()) {
      if (before_.contains(thread)) continue;
      std::ifstream file(thread + "/status");
      for (std::string line; std::getline(file, line);) {
        if (line.starts_with(name + ":"))
          return line.substr(line.find_first_not_of(" \t", name.size() + 1));
      }
    }
    return {};
  }

  long sleeps() const {
    const std::string count = status("voluntary_ctxt_switches");
    return count.empty() ? -1 : std::stol(count);
  }

  std::set<std::string> before_ = threads();
};

std::atomic<bool> signal_taken = false;

// Blocked here, a signal to the process stays pending only if the console's thread has it blocked.
TEST_F(ConsoleThreadTest, TakesNoSignals) {
  Console console(on_pipes(ConsoleMode::kRank0));
  console.print("started");  // the C library starts each thread with all signals blocked
  EXPECT_EQ(read_until(stderr_pipe_.read_end, "\n"), "started\n");
  struct sigaction action = {};
  action.sa_handler = [](int) { signal_taken = true; };
  struct sigaction before = {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  sigset_t ours;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &ours);
  EXPECT_FALSE(sigismember(&ours, SIGUSR1)) << "our own mask must be as it was";

  sigset_t just_this;
  ::sigemptyset(&just_this);
  ::sigaddset(&just_this, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &just_this, nullptr);
  ::kill(::getpid(), SIGUSR1);
  std::this_thread::sleep_for(50ms);  // time for a thread that would take it
  const timespec patience = {1, 0};
  EXPECT_EQ(::sigtimedwait(&just_this, nullptr, &patience), SIGUSR1);
  EXPECT_FALSE(signal_taken);
  ::pthread_sigmask(SIG_SETMASK, &ours, nullptr);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(ConsoleThreadTest, IsGoneAfterItGaveUp) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), std::string(1 << 20, 'x') + "\n");
  console.grown();
  std::this_thread::sleep_for(50ms);
  ASSERT_EQ(threads().size(), before_.size() + 1);
  EXPECT_FALSE(console.finish(50ms));
  for (int i = 0; i < 100 && threads().size() > before_.size(); ++i) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(threads().size(), before_.size());
}

TEST_F(ConsoleThreadTest, SleepsWhileNothingHappens) {
  Console console(on_terminal(ConsoleMode::kRank0));
  follow(console, 0);
  console.set_status("running");
  EXPECT_THAT(read_until(terminal_, "running"), HasSubstr("running"));
  std::this_thread::sleep_for(100ms);
  const long before = sleeps();
  if (before < 0) GTEST_SKIP() << "no thread status in /proc here";
  console.set_status("running");  // nothing new
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(sleeps(), before);
}

TEST_F(ConsoleThreadTest, WakesUpFiftyTimesASecondUnderAFlood) {
  Console console(on_pipes(ConsoleMode::kRank0));
  if (sleeps() < 0) GTEST_SKIP() << "no thread status in /proc here";
  follow(console, 0);
  append(out(0), "");
  const long before = sleeps();
  const auto began = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - began < 500ms) console.grown();
  // Each round sleeps at most twice: for the interval, and for the wake-up.
  EXPECT_LE(sleeps() - before, 2 * 26 + 4);
  EXPECT_GE(sleeps() - before, 4) << "it did follow";
}

}  // namespace
}  // namespace muster::report
