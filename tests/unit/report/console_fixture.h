// A console between files of ranks and pipes or a terminal that the test reads.
#pragma once

#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <pty.h>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "base/files.h"
#include "launcher/report/console.h"

namespace muster::report {

using namespace std::chrono_literals;

class ConsoleTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TERM", "xterm", 1);
    stdout_pipe_ = std::move(*make_pipe());
    stderr_pipe_ = std::move(*make_pipe());
  }

  ConsoleOptions on_pipes(ConsoleMode mode, bool prefix = false) {
    ConsoleOptions options;
    options.mode = mode;
    options.prefix = prefix;
    options.stdout_fd = stdout_pipe_.write_end.get();
    options.stderr_fd = stderr_pipe_.write_end.get();
    return options;
  }

  // Both sides on one terminal whose other end is terminal_.
  ConsoleOptions on_terminal(ConsoleMode mode, bool color = false) {
    int master = -1;
    int slave = -1;
    const winsize size{24, 40, 0, 0};
    EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    terminal_.reset(master);
    terminal_side_.reset(slave);
    ConsoleOptions options;
    options.mode = mode;
    options.stdout_fd = slave;
    options.stderr_fd = slave;
    options.stdout_is_terminal = true;
    options.stderr_is_terminal = true;
    options.color = color;
    return options;
  }

  std::filesystem::path out(int rank) const { return file(rank, ".out"); }
  std::filesystem::path err(int rank) const { return file(rank, ".err"); }
  void follow(Console& console, int rank) const { console.follow(rank, out(rank), err(rank)); }

  static void append(const std::filesystem::path& path, std::string_view text) {
    const Result<Fd> fd = open_file(path, O_WRONLY | O_CREAT | O_APPEND);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(write_all(*fd, text));
  }

  // What can be read until `ending` arrives; after 5 s whatever there is.
  static std::string read_until(const Fd& fd, std::string_view ending) {
    std::string text;
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (!text.ends_with(ending) && std::chrono::steady_clock::now() < deadline) {
      pollfd watched = {fd.get(), POLLIN, 0};
      if (::poll(&watched, 1, 100) <= 0) continue;
      char block[4096];
      const ssize_t count = ::read(fd.get(), block, sizeof block);
      if (count <= 0) break;
      text.append(block, static_cast<std::size_t>(count));
    }
    return text;
  }

  // All that is there now.
  static std::string read_rest(const Fd& fd) {
    std::string text;
    pollfd watched = {fd.get(), POLLIN, 0};
    while (::poll(&watched, 1, 0) > 0 && (watched.revents & POLLIN) != 0) {
      char block[4096];
      const ssize_t count = ::read(fd.get(), block, sizeof block);
      if (count <= 0) break;
      text.append(block, static_cast<std::size_t>(count));
    }
    return text;
  }

  std::string stdout_text() { return read_rest(stdout_pipe_.read_end); }
  std::string stderr_text() { return read_rest(stderr_pipe_.read_end); }

  Pipe stdout_pipe_;
  Pipe stderr_pipe_;
  Fd terminal_;
  Fd terminal_side_;

 private:
  std::filesystem::path file(int rank, const char* suffix) const {
    return directory_.path() / (std::to_string(rank) + suffix);
  }

  TemporaryDirectory directory_ =
      std::move(*TemporaryDirectory::create(std::filesystem::temp_directory_path(), "console-"));
};

}  // namespace muster::report
