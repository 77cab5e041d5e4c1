#include "launcher/exec/agent_server.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <optional>

#include "base/unix_socket.h"
#include "muster/version.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using protocol::AgentMessage;
using protocol::LauncherMessage;
using protocol::NodeChannel;

// Writes down what the server tells; an agent is a channel that the test holds the other end of.
class AgentServerTest : public test::ScratchTest, protected AgentHandler {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    auto server = AgentServer::listen(loop_, socket(), {0, 1}, *this);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  std::filesystem::path socket() const { return scratch() / "node.sock"; }

  void agent_connected(int rank) override { told_.push_back("connected " + std::to_string(rank)); }
  void agent_said(int rank, const AgentMessage&) override {
    told_.push_back("said " + std::to_string(rank));
  }
  void daemon_wanted(int, const protocol::DaemonWanted&) override {}
  void helper_gone(int) override {}
  void agent_gone(int rank) override { told_.push_back("gone " + std::to_string(rank)); }

  NodeChannel connect() {
    auto socket_fd = connect_unix(socket());
    EXPECT_TRUE(socket_fd);
    static_cast<void>(set_nonblocking(*socket_fd, true));
    return NodeChannel(std::move(*socket_fd));
  }

  static AgentMessage hello(int rank) {
    AgentMessage message;
    message.mutable_hello()->set_version(kVersion);
    message.mutable_hello()->set_rank(rank);
    message.mutable_hello()->set_pid(::getpid());
    return message;
  }

  static AgentMessage quiet() {
    AgentMessage message;
    message.mutable_quiet();
    return message;
  }

  // Lets the loop work until `count` things were told, or all that comes within a moment.
  std::vector<std::string> told(std::size_t count) {
    const auto deadline = EventLoop::Clock::now() + 20s;
    while (told_.size() < count && EventLoop::Clock::now() < deadline) turn(2ms);
    turn(5ms);
    return std::exchange(told_, {});
  }

  void turn(std::chrono::milliseconds time) {
    const auto end = loop_.at(EventLoop::Clock::now() + time, [this] { loop_.stop(); });
    loop_.run();
  }

  // The next message for that agent.
  std::optional<LauncherMessage> received_by(NodeChannel& agent) {
    const auto deadline = EventLoop::Clock::now() + 20s;
    while (EventLoop::Clock::now() < deadline) {
      EXPECT_TRUE(agent.receive());
      auto message = agent.next_launcher_message();
      EXPECT_TRUE(message);
      if (!message || *message) return message ? *message : std::nullopt;
      turn(1ms);
    }
    return std::nullopt;
  }

  EventLoop loop_;
  std::unique_ptr<AgentServer> server_;
  std::vector<std::string> told_;
};

TEST_F(AgentServerTest, TellsTheLifeOfAConnectionInOrder) {
  {
    NodeChannel agent = connect();
    ASSERT_TRUE(agent.send(hello(1)));
    ASSERT_TRUE(agent.send(quiet()));
    EXPECT_EQ(told(2), (std::vector<std::string>{"connected 1", "said 1"}));
    EXPECT_EQ(server_->connected_ranks(), (std::vector<int>{1}));
    ASSERT_TRUE(agent.send(quiet()));
  }
  EXPECT_EQ(told(2), (std::vector<std::string>{"said 1", "gone 1"}));
  EXPECT_TRUE(server_->connected_ranks().empty());
}

TEST_F(AgentServerTest, ASpecLargerThanTheSocketTakesArrivesWhole) {
  NodeChannel agent = connect();
  ASSERT_TRUE(agent.send(hello(0)));
  told(1);
  LauncherMessage message;
  message.mutable_spec()->add_environment("BIG=" + std::string(4 << 20, 'x'));
  const auto null = open_file("/dev/null", O_RDONLY);
  server_->send(0, message, {null->get(), null->get(), null->get()});
  LauncherMessage leave;
  leave.mutable_leave();
  server_->send(0, leave);
  const auto spec = received_by(agent);
  ASSERT_TRUE(spec);
  ASSERT_TRUE(spec->has_spec());
  EXPECT_EQ(spec->spec().environment(0).size(), 4U + (4U << 20));
  EXPECT_EQ(agent.take_fds().size(), 3U);
  const auto next = received_by(agent);
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->has_leave());
}

TEST_F(AgentServerTest, AnAgentThatDiesInTheMiddleOfItsSpecIsGoneOnce) {
  {
    NodeChannel agent = connect();
    ASSERT_TRUE(agent.send(hello(0)));
    told(1);
    LauncherMessage message;
    message.mutable_spec()->add_environment("BIG=" + std::string(4 << 20, 'x'));
    server_->send(0, message);
    turn(5ms);
  }
  EXPECT_EQ(told(1), (std::vector<std::string>{"gone 0"}));
}

TEST_F(AgentServerTest, WhoHasNoBusinessHereIsRefusedWithTheReason) {
  struct Case {
    AgentMessage message;
    std::string why;
  };
  std::vector<Case> cases = {
      {hello(2), "rank 2 is not part of this run"},
      {hello(-1), "rank -1 is not part of this run"},
      {hello(0), "the kernel names another process"},
      {hello(0), std::string("agent version 0.0.0, launcher version ") + kVersion}};
  cases[2].message.mutable_hello()->set_pid(1);
  cases[3].message.mutable_hello()->set_version("0.0.0");
  for (const Case& one : cases) {
    NodeChannel agent = connect();
    ASSERT_TRUE(agent.send(one.message));
    const auto answer = received_by(agent);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->refuse(), one.why);
  }
  EXPECT_EQ(told(0), std::vector<std::string>{});
}

TEST_F(AgentServerTest, ASecondAgentForARankIsRefusedAndTheFirstStays) {
  NodeChannel first = connect();
  ASSERT_TRUE(first.send(hello(0)));
  told(1);
  {
    NodeChannel second = connect();
    ASSERT_TRUE(second.send(hello(0)));
    const auto answer = received_by(second);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->refuse(), "rank 0 has an agent already");
  }
  EXPECT_EQ(told(0), std::vector<std::string>{});
  EXPECT_TRUE(server_->is_connected(0));
}

TEST_F(AgentServerTest, GarbageEndsTheConnection) {
  NodeChannel agent = connect();
  ASSERT_TRUE(agent.send(hello(0)));
  told(1);
  const std::string garbage(100, 'G');
  ASSERT_EQ(::write(agent.fd(), garbage.data(), garbage.size()), 100);
  EXPECT_EQ(told(1), (std::vector<std::string>{"gone 0"}));
  EXPECT_FALSE(agent.receive().value()) << "the agent sees the end";
}

TEST_F(AgentServerTest, WordsBeforeTheHelloCountForNothing) {
  NodeChannel agent = connect();
  ASSERT_TRUE(agent.send(quiet()));
  ASSERT_TRUE(agent.send(hello(1)));
  EXPECT_EQ(told(1), (std::vector<std::string>{"connected 1"}));
}

TEST_F(AgentServerTest, SendingToARankThatIsNotThereIsNoError) {
  LauncherMessage message;
  message.mutable_leave();
  server_->send(1, message);
  EXPECT_EQ(told(0), std::vector<std::string>{});
}

}  // namespace
}  // namespace muster::exec
