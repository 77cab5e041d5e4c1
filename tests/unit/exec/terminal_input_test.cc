#include "launcher/exec/terminal_input.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include <gtest/gtest.h>

namespace muster::exec {
namespace {

using namespace std::chrono_literals;

// Descriptor 0 of the test is a terminal whose other end the test holds.
class TerminalInputTest : public testing::Test {
 protected:
  void SetUp() override {
    int typing = -1;
    int terminal = -1;
    ASSERT_EQ(::openpty(&typing, &terminal, nullptr, nullptr, nullptr), 0);
    typing_.reset(typing);
    saved_.reset(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    ASSERT_EQ(::dup2(terminal, STDIN_FILENO), STDIN_FILENO);
    ::close(terminal);
  }

  void TearDown() override { ::dup2(saved_.get(), STDIN_FILENO); }

  void type(std::string_view text) const { ASSERT_TRUE(write_all(typing_, text)); }

  // What the rank reads until a line is whole; after 5 s whatever there is.
  static std::string read_line(int fd) {
    std::string line;
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (!line.ends_with('\n') && std::chrono::steady_clock::now() < deadline) {
      pollfd readable{fd, POLLIN, 0};
      if (::poll(&readable, 1, 100) <= 0) continue;
      char block[256];
      const ssize_t got = ::read(fd, block, sizeof block);
      if (got <= 0) break;
      line.append(block, static_cast<std::size_t>(got));
    }
    return line;
  }

  Fd typing_;

 private:
  Fd saved_;
};

TEST_F(TerminalInputTest, HandsOnWhatIsTyped) {
  const auto input = TerminalInput::open();
  ASSERT_TRUE(input);
  ASSERT_NE(input->fd(), STDIN_FILENO);
  type("one\n");
  EXPECT_EQ(read_line(input->fd()), "one\n");
  type("two\n");
  EXPECT_EQ(read_line(input->fd()), "two\n");
}

TEST_F(TerminalInputTest, EndsAlthoughNobodyTypesAndNobodyReads) {
  auto input = TerminalInput::open();
  ASSERT_TRUE(input);
  // More than the pipe takes: the thread waits for room when it is told to end.
  ASSERT_TRUE(set_nonblocking(typing_, true));
  const std::string line(1000, 'x');
  const auto deadline = std::chrono::steady_clock::now() + 300ms;
  while (std::chrono::steady_clock::now() < deadline) {
    static_cast<void>(::write(typing_.get(), (line + "\n").data(), line.size() + 1));
  }
}

TEST_F(TerminalInputTest, GivesEndOfInputWhenTheTerminalIsClosed) {
  const auto input = TerminalInput::open();
  ASSERT_TRUE(input);
  typing_.reset();
  pollfd ended{input->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 5000), 1);
  char byte = 0;
  EXPECT_EQ(::read(input->fd(), &byte, 1), 0);
}

}  // namespace
}  // namespace muster::exec
