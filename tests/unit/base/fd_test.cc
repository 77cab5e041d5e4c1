#include "base/fd.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/scratch.h"

namespace muster {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

bool is_close_on_exec(const Fd& fd) {
  return (::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0;
}

int new_descriptor() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

TEST(FdTest, ClosesAtTheEndOfItsLife) {
  const int number = new_descriptor();
  { const Fd fd(number); }
  EXPECT_FALSE(is_open(number));
}

TEST(FdTest, MovingLeavesOneOwner) {
  const int number = new_descriptor();
  Fd first(number);
  Fd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that is the claim
  EXPECT_EQ(second.get(), number);
  const int other = new_descriptor();
  Fd third(other);
  third = std::move(second);
  EXPECT_FALSE(is_open(other));
  EXPECT_TRUE(is_open(number));
}

TEST(FdTest, ReleasedIsNotClosed) {
  const int number = new_descriptor();
  { EXPECT_EQ(Fd(number).release(), number); }
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

TEST(FdTest, ResetToItselfKeepsItOpen) {
  Fd fd(new_descriptor());
  fd.reset(fd.get());
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(FdTest, EveryDescriptorIsBornCloseOnExec) {
  const auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  EXPECT_TRUE(is_close_on_exec(pipe->read_end));
  EXPECT_TRUE(is_close_on_exec(pipe->write_end));
  const auto file = open_file("/dev/null", O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_TRUE(is_close_on_exec(*file));
}

TEST(FdTest, AFailedOpenNamesTheFileAndTheReason) {
  const auto file = open_file("/nowhere/at/all", O_RDONLY);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message, "opening /nowhere/at/all: No such file or directory");
}

TEST(FdTest, NonblockingIsSwitchedOnAndOff) {
  const auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  char byte = 0;
  ASSERT_TRUE(set_nonblocking(pipe->read_end, true));
  EXPECT_EQ(::read(pipe->read_end.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_TRUE(set_nonblocking(pipe->read_end, false));
  EXPECT_EQ(::fcntl(pipe->read_end.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(FdTest, WriteAllSaysWhyItCannotWrite) {
  const auto full = open_file("/dev/full", O_WRONLY);
  ASSERT_TRUE(full);
  const auto written = write_all(*full, "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message, "writing: No space left on device");
}

class WriteAllTest : public test::ScratchTest {};

TEST_F(WriteAllTest, WritesEveryByte) {
  const std::string text(3 << 20, 'x');
  {
    const auto file = open_file(scratch() / "big", O_WRONLY | O_CREAT);
    ASSERT_TRUE(file);
    ASSERT_TRUE(write_all(*file, text));
  }
  EXPECT_TRUE(read(scratch() / "big") == text);
}

}  // namespace
}  // namespace muster
