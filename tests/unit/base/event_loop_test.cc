#include "base/event_loop.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;
using Watch = EventLoop::Watch;

constexpr auto kTooLong = 20s;  // ends a test whose callback never comes

class EventLoopTest : public ::testing::Test {
 protected:
  // Runs until stop() or, with a failure, until it took too long.
  void run() {
    const Watch guard = loop_.at(Clock::now() + kTooLong, [this] {
      ADD_FAILURE() << "the callback that was waited for never came";
      loop_.stop();
    });
    loop_.run();
  }

  void run_for(Clock::duration time) {
    const Watch end = loop_.at(Clock::now() + time, [this] { loop_.stop(); });
    loop_.run();
  }

  static Pipe new_pipe() { return std::move(make_pipe().value()); }
  static void put(const Fd& fd, std::string_view text) { ASSERT_TRUE(write_all(fd, text)); }

  static std::string take(const Fd& fd, std::size_t most = 1) {
    std::string text(most, '\0');
    const ssize_t got = ::read(fd.get(), text.data(), most);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }

  EventLoop loop_;
};

TEST_F(EventLoopTest, CallsBackUntilEverythingIsRead) {
  const Pipe pipe = new_pipe();
  put(pipe.write_end, "hello");
  std::string got;
  const Watch watch = loop_.on_readable(pipe.read_end.get(), [&] {
    got += take(pipe.read_end);  // one byte a time: the rest must bring another call
    if (got.size() == 5) loop_.stop();
  });
  run();
  EXPECT_EQ(got, "hello");
}

TEST_F(EventLoopTest, IsSilentWhileNothingIsThere) {
  const Pipe pipe = new_pipe();
  int calls = 0;
  const Watch watch = loop_.on_readable(pipe.read_end.get(), [&] { ++calls; });
  run_for(30ms);
  EXPECT_EQ(calls, 0);
}

TEST_F(EventLoopTest, AnEndOfFileIsReadable) {
  Pipe pipe = new_pipe();
  pipe.write_end.reset();
  const Watch watch = loop_.on_readable(pipe.read_end.get(), [&] { loop_.stop(); });
  run();
}

TEST_F(EventLoopTest, WritableComesWhenThereIsRoomAgain) {
  const Pipe pipe = new_pipe();
  ASSERT_TRUE(set_nonblocking(pipe.write_end, true));
  const std::string block(1 << 16, 'x');
  while (::write(pipe.write_end.get(), block.data(), block.size()) > 0) {
  }
  bool drained = false;
  bool called_while_full = false;
  const Watch watch = loop_.on_writable(pipe.write_end.get(), [&] {
    called_while_full = called_while_full || !drained;
    loop_.stop();
  });
  const Watch drain = loop_.at(Clock::now() + 20ms, [&] {
    drained = true;
    while (!take(pipe.read_end, 1 << 16).empty()) {
      if (::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) != 0) break;
    }
  });
  run();
  EXPECT_TRUE(drained);
  EXPECT_FALSE(called_while_full);
}

TEST_F(EventLoopTest, ReadableAndWritableOfOneDescriptorAreWatchedTogether) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const Fd here(ends[0]);
  const Fd there(ends[1]);
  int readable = 0;
  int writable = 0;
  Watch reading = loop_.on_readable(here.get(), [&] {
    take(here, 16);
    ++readable;
    loop_.stop();
  });
  Watch writing = loop_.on_writable(here.get(), [&] {
    ++writable;
    writing = Watch();
    put(there, "x");
  });
  run();
  EXPECT_EQ(writable, 1);
  EXPECT_EQ(readable, 1);
  put(there, "y");
  run();
  EXPECT_EQ(readable, 2) << "the end of one watch is not the end of the other";
  // And once more: a descriptor's second life as writable.
  writing = loop_.on_writable(here.get(), [&] { loop_.stop(); });
  run();
}

TEST_F(EventLoopTest, TimersComeInTheirOrder) {
  std::string order;
  const auto now = Clock::now();
  const Watch late = loop_.at(now + 20ms, [&] {
    order += "late";
    loop_.stop();
  });
  const Watch early = loop_.at(now + 5ms, [&] { order += "early "; });
  const Watch past = loop_.at(now - 5s, [&] { order += "past "; });
  run();
  EXPECT_EQ(order, "past early late");
}

TEST_F(EventLoopTest, ATimerComesNotBeforeItsTime) {
  const auto when = Clock::now() + 20ms;
  Clock::time_point came;
  const Watch watch = loop_.at(when, [&] {
    came = Clock::now();
    loop_.stop();
  });
  run();
  EXPECT_GE(came, when);
}

TEST_F(EventLoopTest, ADestroyedTimerNeverComes) {
  int calls = 0;
  {
    const Watch watch = loop_.at(Clock::now() + 1ms, [&] { ++calls; });
  }
  Watch replaced = loop_.at(Clock::now() + 1ms, [&] { ++calls; });
  replaced = Watch();
  run_for(20ms);
  EXPECT_EQ(calls, 0);
}

TEST_F(EventLoopTest, ATimerThatIsAlreadyDueCanStillBeCancelledByAnotherCallback) {
  int calls = 0;
  Watch second;
  const auto past = Clock::now() - 1s;
  const Watch first = loop_.at(past, [&] { second = Watch(); });
  second = loop_.at(past + 1ms, [&] { ++calls; });
  run_for(20ms);
  EXPECT_EQ(calls, 0);
}

TEST_F(EventLoopTest, ATimerMayArmItselfAgain) {
  int calls = 0;
  Watch watch;
  std::function<void()> tick = [&] {
    if (++calls == 5) return loop_.stop();
    watch = loop_.at(Clock::now() + 1ms, tick);
  };
  watch = loop_.at(Clock::now(), tick);
  run();
  EXPECT_EQ(calls, 5);
}

TEST_F(EventLoopTest, ACallbackMayDestroyItsOwnWatch) {
  const Pipe pipe = new_pipe();
  put(pipe.write_end, "hello");
  int calls = 0;
  const std::string kept = "what the callback captured lives while it runs";
  std::string seen;
  Watch watch;
  watch = loop_.on_readable(pipe.read_end.get(), [&watch, &calls, &seen, kept] {
    ++calls;
    watch = Watch();
    seen = kept;
  });
  run_for(20ms);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(seen, kept);
}

TEST_F(EventLoopTest, ACallbackMayDestroyAnotherWatchThatIsReadyToo) {
  const Pipe one = new_pipe();
  const Pipe two = new_pipe();
  put(one.write_end, "x");
  put(two.write_end, "x");
  int calls = 0;
  Watch first;
  Watch second;
  first = loop_.on_readable(one.read_end.get(), [&] {
    ++calls;
    first = Watch();
    second = Watch();
  });
  second = loop_.on_readable(two.read_end.get(), [&] {
    ++calls;
    first = Watch();
    second = Watch();
  });
  run_for(20ms);
  EXPECT_EQ(calls, 1) << "whichever came first ended the other";
}

TEST_F(EventLoopTest, NothingIsCalledAfterDestruction) {
  const Pipe pipe = new_pipe();
  int calls = 0;
  {
    const Watch watch = loop_.on_readable(pipe.read_end.get(), [&] { ++calls; });
  }
  put(pipe.write_end, "x");
  run_for(20ms);
  EXPECT_EQ(calls, 0);
}

TEST_F(EventLoopTest, DestroyingAWatchLeavesTheDescriptorOpenAndItCanBeWatchedAgain) {
  const Pipe pipe = new_pipe();
  put(pipe.write_end, "x");
  {
    const Watch watch = loop_.on_readable(pipe.read_end.get(), [] {});
  }
  ASSERT_GE(::fcntl(pipe.read_end.get(), F_GETFD), 0);
  const Watch again = loop_.on_readable(pipe.read_end.get(), [&] { loop_.stop(); });
  run();
}

TEST_F(EventLoopTest, ADescriptorNumberMayBeUsedAgainAtOnce) {
  int calls = 0;
  Pipe old = new_pipe();
  const int number = old.read_end.get();
  Watch watch = loop_.on_readable(number, [&] { calls += 100; });
  watch = Watch();
  old.read_end.reset();
  const Pipe fresh = new_pipe();
  const Fd same_number(::dup2(fresh.read_end.get(), number));
  watch = loop_.on_readable(number, [&] {
    take(same_number);
    ++calls;
    loop_.stop();
  });
  put(fresh.write_end, "x");
  run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, WatchesHundredsOfDescriptors) {
  constexpr std::size_t kMany = 300;
  std::vector<Pipe> pipes;
  std::vector<int> calls(kMany);
  std::vector<Watch> watches;
  std::size_t ready = 0;
  for (std::size_t i = 0; i < kMany; ++i) pipes.push_back(new_pipe());
  for (std::size_t i = 0; i < kMany; ++i) {
    watches.push_back(loop_.on_readable(pipes[i].read_end.get(), [&, i] {
      take(pipes[i].read_end);
      ++calls[i];
      if (++ready == kMany) loop_.stop();
    }));
  }
  for (const Pipe& pipe : pipes) put(pipe.write_end, "x");
  run();
  EXPECT_EQ(calls, std::vector<int>(kMany, 1));
}

TEST_F(EventLoopTest, RunsAgainAfterAStop) {
  for (int round = 0; round < 3; ++round) {
    const Watch watch = loop_.at(Clock::now(), [&] { loop_.stop(); });
    run();
  }
}

TEST_F(EventLoopTest, AMovedWatchStaysAlive) {
  int calls = 0;
  std::optional<Watch> holder;
  {
    Watch watch = loop_.at(Clock::now() + 1ms, [&] {
      ++calls;
      loop_.stop();
    });
    holder = std::move(watch);
    EXPECT_FALSE(watch);  // NOLINT(bugprone-use-after-move): that is the claim
  }
  run();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace muster
