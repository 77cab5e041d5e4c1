#include "launcher/exec/control_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using protocol::ControlChannel;
using protocol::ControlReply;
using protocol::ControlRequest;
using protocol::RunState;

// The run is a number of ranks and a phase; a client is a channel that the test holds the other end
// of.
class ControlServerTest : public test::ScratchTest, protected ControlHandler {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    auto server = ControlServer::listen(loop_, socket(), *this);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  std::filesystem::path socket() const { return scratch() / "control.sock"; }

  protocol::RunStatus run_status() override {
    protocol::RunStatus status;
    *status.mutable_state() = run_state();
    for (int rank = 0; rank < ranks_; ++rank) status.add_ranks()->set_rank(rank);
    return status;
  }
  RunState run_state() override {
    RunState state;
    state.set_phase(phase_);
    state.set_started(++states_told_);
    return state;
  }
  protocol::CancelReply cancel(bool now, const PeerCredentials& by) override {
    cancels_.push_back((now ? "now by " : "by ") + std::to_string(by.uid));
    protocol::CancelReply reply;
    reply.set_accepted(true);
    return reply;
  }
  void control_notice(const std::string& text) override { notices_.push_back(text); }

  ControlChannel connect() {
    auto connected = connect_unix(socket());
    EXPECT_TRUE(connected);
    static_cast<void>(set_nonblocking(*connected, true));
    return ControlChannel(std::move(*connected), ControlChannel::Side::kClient);
  }

  static ControlRequest status() {
    ControlRequest request;
    request.mutable_status();
    return request;
  }
  static ControlRequest watch() {
    ControlRequest request;
    request.mutable_watch();
    return request;
  }

  void turn(std::chrono::milliseconds time) {
    const auto end = loop_.at(EventLoop::Clock::now() + time, [this] { loop_.stop(); });
    loop_.run();
  }

  // The next reply; nullopt when the server ends the connection instead.
  std::optional<ControlReply> reply_to(ControlChannel& client) {
    const auto deadline = EventLoop::Clock::now() + 20s;
    bool ended = false;
    while (EventLoop::Clock::now() < deadline) {
      auto reply = client.next_reply();
      EXPECT_TRUE(reply);
      if (!reply || *reply) return reply ? *reply : std::nullopt;
      if (ended) return std::nullopt;
      turn(1ms);
      const auto alive = client.receive();
      ended = !alive || !*alive;
    }
    ADD_FAILURE() << "no reply and no end";
    return std::nullopt;
  }

  bool has_ended(ControlChannel& client) { return !reply_to(client).has_value(); }

  static void write_raw(const ControlChannel& client, std::string_view bytes) {
    ASSERT_EQ(::write(client.fd(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  EventLoop loop_;
  int ranks_ = 2;
  RunState::Phase phase_ = RunState::RUNNING;
  int states_told_ = 0;
  std::vector<std::string> cancels_;
  std::vector<std::string> notices_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, AStatusIsAnswered) {
  ControlChannel client = connect();
  for (int time = 0; time < 3; ++time) {
    ASSERT_TRUE(client.send(status()));
    const auto reply = reply_to(client);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status().ranks_size(), 2);
    EXPECT_EQ(reply->status().state().phase(), RunState::RUNNING);
  }
}

TEST_F(ControlServerTest, ManyRequestsInOnePieceAreAnsweredInOrder) {
  ControlChannel client = connect();
  ControlRequest cancel;
  cancel.mutable_cancel()->set_now(true);
  ASSERT_TRUE(client.send(status()));
  ASSERT_TRUE(client.send(cancel));
  ASSERT_TRUE(client.send(status()));
  EXPECT_TRUE(reply_to(client)->has_status());
  EXPECT_TRUE(reply_to(client)->cancel().accepted());
  EXPECT_TRUE(reply_to(client)->has_status());
  EXPECT_EQ(cancels_, std::vector<std::string>{"now by " + std::to_string(::getuid())});
}

TEST_F(ControlServerTest, WatchersAreToldOfEveryChangeAndOthersOfNone) {
  ControlChannel watcher = connect();
  ControlChannel other = connect();
  ASSERT_TRUE(watcher.send(watch()));
  EXPECT_EQ(reply_to(watcher)->state().phase(), RunState::RUNNING);
  phase_ = RunState::ENDED;
  server_->state_changed();
  EXPECT_EQ(reply_to(watcher)->state().phase(), RunState::ENDED);
  ASSERT_TRUE(other.send(status()));
  EXPECT_TRUE(reply_to(other)->has_status()) << "its first word is the answer to its question";
}

TEST_F(ControlServerTest, GarbageEndsTheConnectionAndIsNoted) {
  ControlChannel client = connect();
  write_raw(client, std::string(100, 'G'));
  EXPECT_TRUE(has_ended(client));
  ASSERT_EQ(notices_.size(), 1U);
  EXPECT_NE(notices_[0].find("a frame announces"), std::string::npos) << notices_[0];
}

TEST_F(ControlServerTest, ALargeFrameIsRefusedBeforeItsBytesCome) {
  ControlChannel client = connect();
  protocol::Frame frame;
  frame.type = protocol::FrameType::kControlRequest;
  frame.payload = std::string(ControlChannel::kMaxRequest + 1, 'x');
  write_raw(client, protocol::encode(frame).substr(0, protocol::kFrameHeaderSize));
  EXPECT_TRUE(has_ended(client));
  EXPECT_EQ(notices_.size(), 1U);
}

TEST_F(ControlServerTest, AFrameOfAnotherKindEndsTheConnection) {
  ControlChannel client = connect();
  protocol::Frame frame;
  frame.type = protocol::FrameType::kAgentMessage;
  write_raw(client, protocol::encode(frame));
  EXPECT_TRUE(has_ended(client));
}

TEST_F(ControlServerTest, ARequestOfTheFutureIsRefusedInWords) {
  ControlChannel client = connect();
  ASSERT_TRUE(client.send(ControlRequest()));
  const auto reply = reply_to(client);
  ASSERT_TRUE(reply);
  EXPECT_NE(reply->refused().find("does not know the request"), std::string::npos);
}

TEST_F(ControlServerTest, OneThatAsksAndNeverReadsIsDroppedAtTheBound) {
  ranks_ = 2000;
  ControlChannel client = connect();
  std::size_t most_unsent = 0;
  bool dropped = false;
  for (int time = 0; time < 5000 && !dropped; ++time) {
    static_cast<void>(client.send(status()));
    turn(0ms);
    dropped = server_->connection_count() == 0;
    most_unsent = std::max<std::size_t>(most_unsent, server_->has_unsent() ? 1 : 0);
  }
  EXPECT_TRUE(dropped);
  EXPECT_EQ(most_unsent, 1U);
  ASSERT_EQ(notices_.size(), 1U);
  EXPECT_NE(notices_[0].find("does not read"), std::string::npos) << notices_[0];
}

TEST_F(ControlServerTest, AWatcherThatDoesNotReadCostsNoQueueAndLearnsTheNewest) {
  ControlChannel watcher = connect();
  ASSERT_TRUE(watcher.send(watch()));
  EXPECT_TRUE(reply_to(watcher));
  for (int change = 0; change < 50'000; ++change) server_->state_changed();
  EXPECT_EQ(server_->connection_count(), 1U);
  phase_ = RunState::ENDED;
  server_->state_changed();
  while (true) {
    const auto reply = reply_to(watcher);
    ASSERT_TRUE(reply);
    if (reply->state().phase() == RunState::ENDED) break;
  }
  EXPECT_FALSE(server_->has_unsent());
}

TEST_F(ControlServerTest, OfTooManyClientsTheSilentOnesGoAndWatchersStay) {
  ControlChannel watcher = connect();
  ASSERT_TRUE(watcher.send(watch()));
  ASSERT_TRUE(reply_to(watcher));
  std::vector<ControlChannel> crowd;
  for (std::size_t one = 0; one < 2 * ControlServer::kMaxConnections; ++one) {
    crowd.push_back(connect());
    turn(0ms);
  }
  EXPECT_LE(server_->connection_count(), ControlServer::kMaxConnections);
  ASSERT_TRUE(crowd.back().send(status()));
  EXPECT_TRUE(reply_to(crowd.back()));
  server_->state_changed();
  EXPECT_TRUE(reply_to(watcher));
  EXPECT_LE(notices_.size(), 20U);
}

TEST_F(ControlServerTest, ClientsThatComeAndGoLeaveNothing) {
  for (int time = 0; time < 300; ++time) {
    ControlChannel client = connect();
    if (time % 3 > 0) static_cast<void>(client.send(status()));
    if (time % 3 > 1) write_raw(client, "half a he");
    if (time % 7 == 0) turn(0ms);
  }
  turn(20ms);
  EXPECT_EQ(server_->connection_count(), 0U);
  ControlChannel client = connect();
  ASSERT_TRUE(client.send(status()));
  EXPECT_TRUE(reply_to(client));
}

TEST_F(ControlServerTest, DescriptorsThatAClientSendsAreClosed) {
  ControlChannel client = connect();
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  auto raw = connect_unix(socket());
  ASSERT_TRUE(raw);
  const int sent[] = {pipe->write_end.get()};
  ASSERT_TRUE(send_some(*raw, "x", sent));
  turn(20ms);
  pipe->write_end.reset();
  char byte = 0;
  EXPECT_EQ(::read(pipe->read_end.get(), &byte, 1), 0) << "somebody holds the write end";
}

}  // namespace
}  // namespace muster::exec
