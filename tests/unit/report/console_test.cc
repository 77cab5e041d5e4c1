#include "launcher/report/console.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "tests/unit/report/console_fixture.h"

namespace muster::report {
namespace {

TEST_F(ConsoleTest, ShowsEachStreamOfRank0OnItsOwnSide) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  follow(console, 1);
  append(out(0), "hello\n");
  append(err(0), "oops\n");
  append(out(1), "not me\n");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), "hello\n");
  EXPECT_EQ(stderr_text(), "oops\n");
}

TEST_F(ConsoleTest, ShowsAllRanksWithTheirPrefix) {
  Console console(on_pipes(ConsoleMode::kAll, true));
  for (const int rank : {0, 1}) {
    follow(console, rank);
    append(out(rank), "hello\n");
    append(err(rank), "oops\n");
  }
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), "[0] hello\n[1] hello\n");
  EXPECT_EQ(stderr_text(), "[0] oops\n[1] oops\n");
}

TEST_F(ConsoleTest, ShowsOnlyErrorsOfAllRanksWhenAskedTo) {
  Console console(on_pipes(ConsoleMode::kErrors, true));
  for (const int rank : {0, 1}) {
    follow(console, rank);
    append(out(rank), "hello\n");
    append(err(rank), "oops\n");
  }
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), "");
  EXPECT_EQ(stderr_text(), "[0] oops\n[1] oops\n");
}

TEST_F(ConsoleTest, ShowsNothingButMustersOwnLinesWithNone) {
  Console console(on_pipes(ConsoleMode::kNone));
  follow(console, 0);
  append(out(0), "hello\n");
  console.print("muster: started");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), "");
  EXPECT_EQ(stderr_text(), "muster: started\n");
}

TEST_F(ConsoleTest, FromNowOnItBeginsWithTheUnfinishedLine) {
  Console console(on_pipes(ConsoleMode::kRank0));
  append(out(0), "old\nhalf");
  console.follow(0, out(0), err(0), Console::From::kNow);
  console.print("looked");
  EXPECT_EQ(read_until(stderr_pipe_.read_end, "looked\n"), "looked\n");
  append(out(0), " a line\nnew\n");
  append(err(0), "a file that appears later is new\n");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), "half a line\nnew\n");
  EXPECT_EQ(stderr_text(), "a file that appears later is new\n");
}

TEST_F(ConsoleTest, ShowsLinesWhileTheRunGoesOn) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  console.grown();
  append(out(0), "one\ntw");
  console.grown();
  EXPECT_EQ(read_until(stdout_pipe_.read_end, "one\n"), "one\n");
  append(out(0), "o\n");
  console.grown();
  EXPECT_EQ(read_until(stdout_pipe_.read_end, "two\n"), "two\n");
}

TEST_F(ConsoleTest, ShowsThePartialLineAtTheEnd) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), " 10%\r 99%");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), " 99%\n");
}

TEST_F(ConsoleTest, FinishesWhenFilesNeverAppeared) {
  Console console(on_pipes(ConsoleMode::kAll));
  follow(console, 0);
  EXPECT_TRUE(console.finish(5s));
  EXPECT_TRUE(console.finish(5s)) << "a second time does nothing";
  EXPECT_EQ(stdout_text() + stderr_text(), "");
}

TEST_F(ConsoleTest, PrintsMustersLineAfterWhatWasStoredBeforeIt) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  for (int i = 0; i < 50; ++i) {
    const std::string number = std::to_string(i);
    append(err(0), "rank " + number + "\n");
    console.grown();
    console.print("muster: " + number);
    EXPECT_EQ(read_until(stderr_pipe_.read_end, "muster: " + number + "\n"),
              "rank " + number + "\nmuster: " + number + "\n");
  }
}

TEST_F(ConsoleTest, EndsTheFilesOfTheAttemptBeforeWhenARankIsFollowedAgain) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), "first attempt");
  console.grown();
  console.follow(0, out(7), err(7));
  EXPECT_EQ(read_until(stdout_pipe_.read_end, "\n"), "first attempt\n");
  append(out(7), "second attempt\n");
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stdout_text(), "second attempt\n");
}

TEST_F(ConsoleTest, LosesNothingOfSeveralRanksThatGrowWhileItReads) {
  constexpr int kRanks = 4;
  constexpr int kLines = 20'000;
  std::string shown;
  {
    Console console(on_pipes(ConsoleMode::kAll, true));
    std::thread reader([&] {
      char block[65536];
      ssize_t count = 0;
      while ((count = ::read(stdout_pipe_.read_end.get(), block, sizeof block)) > 0) {
        shown.append(block, static_cast<std::size_t>(count));
      }
    });
    for (int rank = 0; rank < kRanks; ++rank) follow(console, rank);
    for (int line = 0; line < kLines; line += 500) {
      for (int rank = 0; rank < kRanks; ++rank) {
        std::string text;
        for (int i = line; i < line + 500; ++i) text += std::to_string(i) + "\n";
        append(out(rank), text);
        console.grown();
      }
    }
    EXPECT_TRUE(console.finish(30s));
    stdout_pipe_.write_end.reset();
    reader.join();
  }
  std::vector<int> next(kRanks, 0);
  for (std::size_t at = 0; at < shown.size(); at = shown.find('\n', at) + 1) {
    const int rank = shown[at + 1] - '0';
    ASSERT_EQ(std::atoi(shown.c_str() + at + 4), next[static_cast<std::size_t>(rank)]++);
  }
  EXPECT_THAT(next, testing::Each(kLines));
}

TEST_F(ConsoleTest, GivesUpAtTheTimeoutWhenNobodyReads) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), std::string(1 << 20, 'x') + "\n");
  console.grown();
  std::this_thread::sleep_for(100ms);

  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    console.grown();
    console.print("muster: still there");
    console.set_status("running");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 200ms) << "the data plane must not wait";
  EXPECT_FALSE(console.finish(200ms));
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 2s);
  EXPECT_FALSE(console.finish(5s));
}

TEST_F(ConsoleTest, StillSaysMustersWordWhenNobodyReadsStdout) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), std::string(1 << 20, 'x') + "\n");
  console.grown();
  std::this_thread::sleep_for(50ms);
  console.print("muster: rank 0 failed");
  EXPECT_FALSE(console.finish(100ms));
  EXPECT_EQ(stderr_text(), "muster: rank 0 failed\n");
}

TEST_F(ConsoleTest, ShowsEveryByteToAReaderThatComesLate) {
  std::string text;
  for (int i = 0; text.size() < (12U << 20); ++i) text += "line " + std::to_string(i) + "\n";
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), text);
  console.grown();
  std::this_thread::sleep_for(100ms);

  std::atomic<bool> finished = false;
  std::thread finisher([&] { finished = console.finish(30s); });
  std::string shown;
  while (shown.size() < text.size()) {
    char block[65536];
    const ssize_t count = ::read(stdout_pipe_.read_end.get(), block, sizeof block);
    ASSERT_GT(count, 0);
    shown.append(block, static_cast<std::size_t>(count));
  }
  finisher.join();
  EXPECT_TRUE(finished);
  EXPECT_TRUE(shown == text);
}

TEST_F(ConsoleTest, SaysMustersWordEvenWhenARankIsFarAhead) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  append(out(0), std::string(8 << 20, '\n'));
  console.grown();
  console.print("muster: stopping");
  std::this_thread::sleep_for(400ms);
  // Reading a part of the backlog is enough for the line to come.
  std::size_t taken = 0;
  while (taken < (1U << 20)) {
    char block[65536];
    const ssize_t count = ::read(stdout_pipe_.read_end.get(), block, sizeof block);
    ASSERT_GT(count, 0);
    taken += static_cast<std::size_t>(count);
  }
  EXPECT_EQ(read_until(stderr_pipe_.read_end, "\n"), "muster: stopping\n");
  stdout_pipe_.read_end.reset();
}

// SIGPIPE has its default action here: reaching the process it would end this test.
TEST_F(ConsoleTest, GoesQuietOnTheSideWhoseReaderLeft) {
  Console console(on_pipes(ConsoleMode::kRank0));
  follow(console, 0);
  stdout_pipe_.read_end.reset();
  append(out(0), std::string(1 << 20, 'x') + "\n");
  append(err(0), "still here\n");
  console.grown();
  EXPECT_EQ(read_until(stderr_pipe_.read_end, "\n"), "still here\n");
  append(out(0), "more\n");
  append(err(0), "and here\n");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(console.finish(5s));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 1s);
  EXPECT_EQ(stderr_text(), "and here\n");
}

TEST_F(ConsoleTest, SaysOnceThatStdoutRefusesBytes) {
  const Result<Fd> full = open_file("/dev/full", O_WRONLY);
  if (!full) GTEST_SKIP() << "no /dev/full here";
  ConsoleOptions options = on_pipes(ConsoleMode::kRank0);
  options.stdout_fd = full->get();
  Console console(options);
  follow(console, 0);
  for (int i = 0; i < 3; ++i) {
    append(out(0), "hello\n");
    console.grown();
    std::this_thread::sleep_for(30ms);
  }
  EXPECT_TRUE(console.finish(5s));
  EXPECT_EQ(stderr_text(),
            "muster: warning: writing to stdout failed (No space left on device): no more is shown "
            "there; the run goes on, and its files hold all of it\n");
}

}  // namespace
}  // namespace muster::report
