#include "collector/store/driver_log.h"

#include "tests/support/scratch.h"

namespace muster::store {
namespace {

using Stream = DriverLog::Stream;

class DriverLogTest : public test::ScratchTest {
 protected:
  std::filesystem::path path() const { return scratch() / "driver.log"; }
  std::string text() const { return read(path()); }
};

TEST_F(DriverLogTest, HasWordsBeforeAndAfterBothStreams) {
  DriverLog log(path());
  log.begin("head\n");
  EXPECT_EQ(text(), "head\n");
  log.append(Stream::kStdout, "out 1\n");
  log.append(Stream::kStderr, "err 1\n");
  log.append(Stream::kStdout, "out 2\n");
  EXPECT_EQ(text(), "head\nout 1\nerr 1\nout 2\n");
  log.end("tail\n");
  EXPECT_EQ(text(), "head\nout 1\nerr 1\nout 2\ntail\n");
  EXPECT_EQ(log.problem(), "");
}

TEST_F(DriverLogTest, NoLineIsCutByTheOtherStream) {
  DriverLog log(path());
  log.begin("");
  log.append(Stream::kStdout, "loss=");
  log.append(Stream::kStderr, "\r 10%");
  log.append(Stream::kStderr, "\r 20%");
  log.append(Stream::kStdout, "0.5\nnext");
  EXPECT_EQ(text(), "\r 10%\rloss=0.5\n");
  log.end("tail\n");
  EXPECT_EQ(text(), "\r 10%\rloss=0.5\nnext 20%\ntail\n");
}

TEST_F(DriverLogTest, WhatComesBeforeItsBeginIsKeptForIt) {
  DriverLog log(path());
  log.append(Stream::kStdout, "out\nmore");
  log.append(Stream::kStderr, "err\n");
  log.begin("head\n");
  log.begin("again\n");
  EXPECT_EQ(text(), "head\nout\nerr\n");
  log.end("");
  EXPECT_EQ(text(), "head\nout\nerr\nmore\n");
}

TEST_F(DriverLogTest, ARankThatNeverBeganHasATail) {
  DriverLog log(path());
  log.append(Stream::kStderr, "err");
  log.end("tail\n");
  EXPECT_EQ(text(), "err\ntail\n");
}

TEST_F(DriverLogTest, ALineWithoutAnEndIsWrittenAtSomeTime) {
  DriverLog log(path());
  log.begin("");
  const std::string half(40'000, 'x');
  log.append(Stream::kStdout, half);
  EXPECT_EQ(text(), "");
  log.append(Stream::kStdout, half);
  EXPECT_EQ(text(), half + half);
  log.append(Stream::kStdout, half + half);
  EXPECT_EQ(text().size(), 4 * half.size());
}

TEST_F(DriverLogTest, BeyondItsBoundItSaysWhereTheRestIs) {
  DriverLog log(path(), 10);
  log.begin("head\n");
  log.append(Stream::kStdout, "12345\n");
  log.append(Stream::kStdout, "12345\n");
  log.append(Stream::kStderr, "12345\n");
  log.end("tail\n");
  EXPECT_EQ(text(),
            "head\n12345\n1234\nmuster: this view ends after 10 B; all of the output is in "
            "stdout.log and stderr.log beside " +
                path().string() + "\ntail\n");
}

TEST_F(DriverLogTest, AFileThatCannotBeMadeIsAProblemAndNoMore) {
  DriverLog log(scratch() / "none/driver.log");
  log.begin("head\n");
  log.append(Stream::kStdout, "out\n");
  log.end("tail\n");
  EXPECT_NE(log.problem(), "");
}

}  // namespace
}  // namespace muster::store
