// `muster-agent remote-exec` against a launcher that this test plays.
#include "rank_agent/remote_exec.h"

#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unix_socket.h"
#include "muster/version.h"
#include "protocol/node_channel.h"
#include "tests/support/scratch.h"

namespace muster::agent {
namespace {

using protocol::DaemonNews;
using ::testing::HasSubstr;

class RemoteExec : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    auto listener = listen_unix(scratch() / "node.sock", 4);
    ASSERT_TRUE(listener) << listener.error().message;
    listener_ = std::move(*listener);
    ::setenv(protocol::kNodeSocketVariable, (scratch() / "node.sock").c_str(), 1);
  }

  void TearDown() override {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::unsetenv(protocol::kNodeSocketVariable);
  }

  // In a process of its own, as mpirun starts it; what it says goes to a pipe.
  void start(std::vector<std::string> words) {
    int said[2];
    ASSERT_EQ(::pipe(said), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(said[1], STDERR_FILENO);
      ::_exit(remote_exec(words));
    }
    ::close(said[1]);
    said_ = Fd(said[0]);
  }

  // The connection of remote-exec, with what it wants.
  protocol::DaemonWanted accept() {
    pollfd waited{listener_.get(), POLLIN, 0};
    ::poll(&waited, 1, 20'000);
    auto socket = accept_unix(listener_);
    EXPECT_TRUE(socket && *socket);
    channel_.emplace(std::move(*socket));
    while (true) {
      pollfd readable{channel_->fd(), POLLIN, 0};
      if (::poll(&readable, 1, 20'000) <= 0) break;
      EXPECT_TRUE(channel_->receive());
      auto message = channel_->next_agent_message();
      EXPECT_TRUE(message);
      if (message && *message) return (*message)->daemon_wanted();
    }
    ADD_FAILURE() << "it says nothing";
    return {};
  }

  void say(DaemonNews::What what, const std::string& why = "", int status = 0) {
    protocol::LauncherMessage message;
    message.mutable_daemon()->set_what(what);
    message.mutable_daemon()->set_why(why);
    message.mutable_daemon()->set_status(status);
    ASSERT_TRUE(channel_->send(message));
  }

  bool has_ended() {
    int status = 0;
    if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) == 0) return false;
    pid_ = 0;
    status_ = status;
    return true;
  }

  int exit_code() {
    if (pid_ > 0) ::waitpid(pid_, &status_, 0);
    pid_ = 0;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  }

  std::string line() {
    char buffer[1000];
    const auto got = ::read(said_.get(), buffer, sizeof buffer);
    return {buffer, got > 0 ? static_cast<std::size_t>(got) : 0U};
  }

  Fd listener_;
  Fd said_;
  std::optional<protocol::NodeChannel> channel_;
  pid_t pid_ = 0;
  int status_ = 0;
};

TEST_F(RemoteExec, LivesAsLongAsTheDaemonOfItsNode) {
  start({"muster-3", " orted", "-mca", "ess", "\"env\""});
  const protocol::DaemonWanted wanted = accept();
  EXPECT_EQ(wanted.node(), "muster-3");
  EXPECT_EQ(wanted.command(), " orted -mca ess \"env\"");
  EXPECT_EQ(wanted.version(), kVersion);
  EXPECT_EQ(wanted.pid(), pid_);
  say(DaemonNews::TAKEN);
  say(DaemonNews::RUNNING);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(has_ended());
  say(DaemonNews::ENDED);
  EXPECT_EQ(exit_code(), 0);
  EXPECT_EQ(line(), "");
}

TEST_F(RemoteExec, StaysWhenItsGroupIsSignalled) {
  start({"muster-3", "orted"});
  accept();
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) ::kill(pid_, signal_number);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(has_ended());
  say(DaemonNews::ENDED);
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(RemoteExec, NamesTheNodeThatIsLost) {
  start({"muster-3", "orted"});
  accept();
  say(DaemonNews::RUNNING);
  say(DaemonNews::LOST, "connection reset");
  EXPECT_EQ(exit_code(), 204);
  EXPECT_THAT(line(), HasSubstr("daemon on muster-3: connection reset\n"));
}

TEST_F(RemoteExec, TellsHowTheDaemonEnded) {
  start({"muster-3", "orted"});
  accept();
  say(DaemonNews::ENDED, "", 9);
  EXPECT_EQ(exit_code(), 203);
  EXPECT_THAT(line(), HasSubstr("killed by signal 9"));
  start({"muster-3", "orted"});
  accept();
  say(DaemonNews::ENDED, "", 5 << 8);
  EXPECT_EQ(exit_code(), 203);
  EXPECT_THAT(line(), HasSubstr("exit code 5"));
}

TEST_F(RemoteExec, SaysWhyItWasRefused) {
  start({"muster-3", "sh", "-c", "x"});
  accept();
  say(DaemonNews::REFUSED, "it runs sh");
  EXPECT_EQ(exit_code(), 202);
  EXPECT_THAT(line(), HasSubstr("it runs sh"));
}

TEST_F(RemoteExec, KnowsNoOtherNames) {
  start({"root@host", "orted"});
  EXPECT_EQ(exit_code(), 202);
  EXPECT_THAT(line(), HasSubstr("\"root@host\" is no node of this run"));
}

TEST_F(RemoteExec, EndsWithTheLauncher) {
  start({"muster-3", "orted"});
  accept();
  say(DaemonNews::RUNNING);
  channel_.reset();
  EXPECT_EQ(exit_code(), 201);
  EXPECT_THAT(line(), HasSubstr("the launcher is gone"));
}

TEST_F(RemoteExec, NeedsALauncher) {
  ::unsetenv(protocol::kNodeSocketVariable);
  start({"muster-3", "orted"});
  EXPECT_EQ(exit_code(), 201);
}

}  // namespace
}  // namespace muster::agent
