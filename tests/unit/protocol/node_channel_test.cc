#include "protocol/node_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include <gtest/gtest.h>

namespace muster::protocol {
namespace {

class NodeChannelTest : public ::testing::Test {
 protected:
  NodeChannelTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    launcher_.emplace(Fd(ends[0]));
    agent_.emplace(Fd(ends[1]));
  }

  static LauncherMessage refuse(const std::string& text) {
    LauncherMessage message;
    message.set_refuse(text);
    return message;
  }

  // All refuse texts that the agent can read now.
  std::vector<std::string> agent_reads() {
    std::vector<std::string> texts;
    while (auto message = next()) texts.push_back(message->refuse());
    return texts;
  }

  std::optional<LauncherMessage> next() {
    auto message = agent_->next_launcher_message();
    EXPECT_TRUE(message) << message.error().message;
    return message ? std::move(*message) : std::nullopt;
  }

  void put(std::string_view bytes) {
    ASSERT_EQ(::write(launcher_->fd(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }

  static ino_t inode(int fd) {
    struct stat info {};
    ::fstat(fd, &info);
    return info.st_ino;
  }

  static bool is_readable_end(const Fd& fd) {
    return (::fcntl(fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY;
  }

  std::optional<NodeChannel> launcher_;
  std::optional<NodeChannel> agent_;
};

TEST_F(NodeChannelTest, MessagesGoBothWaysInOrder) {
  AgentMessage hello;
  hello.mutable_hello()->set_version("1.2.3");
  hello.mutable_hello()->set_rank(7);
  ASSERT_TRUE(agent_->send(hello));
  ASSERT_TRUE(launcher_->receive().value());
  const auto got = launcher_->next_agent_message();
  ASSERT_TRUE(got && *got);
  EXPECT_EQ((*got)->hello().rank(), 7);
  EXPECT_EQ((*got)->hello().version(), "1.2.3");

  for (const char* text : {"one", "two", "three"}) ASSERT_TRUE(launcher_->send(refuse(text)));
  ASSERT_TRUE(agent_->receive().value());
  EXPECT_EQ(agent_reads(), (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(NodeChannelTest, NothingThereIsNoEnd) {
  EXPECT_TRUE(agent_->receive().value());
  EXPECT_EQ(next(), std::nullopt);
}

TEST_F(NodeChannelTest, ALargeMessageWaitsForRoomAndArrivesWhole) {
  const std::string large(5 << 20, 'x');
  ASSERT_TRUE(launcher_->send(refuse(large)));
  ASSERT_TRUE(launcher_->send(refuse("after it")));
  EXPECT_TRUE(launcher_->has_unsent()) << "a socket does not take that much at once";
  std::vector<std::string> texts;
  for (int turn = 0; turn < 100'000 && texts.size() < 2; ++turn) {
    ASSERT_TRUE(agent_->receive().value());
    for (std::string& text : agent_reads()) texts.push_back(std::move(text));
    ASSERT_TRUE(launcher_->flush());
  }
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_TRUE(texts[0] == large);
  EXPECT_EQ(texts[1], "after it");
  EXPECT_FALSE(launcher_->has_unsent());
}

TEST_F(NodeChannelTest, AMessageAboveTheLimitIsRefusedBeforeItIsSent) {
  const auto sent = launcher_->send(refuse(std::string(kMaxControlPayload + 1, 'x')));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::kResources);
  EXPECT_FALSE(launcher_->has_unsent());
  ASSERT_TRUE(launcher_->send(refuse("small")));
  ASSERT_TRUE(agent_->receive().value());
  EXPECT_EQ(agent_reads(), (std::vector<std::string>{"small"}));
}

TEST_F(NodeChannelTest, DescriptorsArriveNoLaterThanTheirMessageAndInOrder) {
  auto one = make_pipe();
  auto two = make_pipe();
  const ino_t inode_one = inode(one->write_end.get());
  const ino_t inode_two = inode(two->write_end.get());
  ASSERT_NE(inode_one, inode_two);
  ASSERT_TRUE(launcher_->send(refuse("first"), {one->write_end.get(), two->write_end.get()}));
  ASSERT_TRUE(launcher_->send(refuse("second"), {two->write_end.get()}));
  one = {};  // the caller may close its own at once
  two = {};

  std::vector<ino_t> inodes;
  std::vector<std::string> texts;
  for (int turn = 0; turn < 10 && texts.size() < 2; ++turn) {
    ASSERT_TRUE(agent_->receive().value());
    for (std::string& text : agent_reads()) texts.push_back(std::move(text));
    for (const Fd& fd : agent_->take_fds()) inodes.push_back(inode(fd.get()));
    if (texts.size() == 1) {
      EXPECT_EQ(inodes, (std::vector<ino_t>{inode_one, inode_two}));
    }
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(inodes, (std::vector<ino_t>{inode_one, inode_two, inode_two}));
}

TEST_F(NodeChannelTest, DescriptorsOfAMessageThatHadToWaitArriveWithIt) {
  const auto pipe = make_pipe();
  // Sent in many parts: its descriptor goes with the first of them only.
  ASSERT_TRUE(launcher_->send(refuse(std::string(2 << 20, 'x')), {pipe->write_end.get()}));
  ASSERT_TRUE(launcher_->has_unsent());
  ASSERT_TRUE(launcher_->send(refuse("with"), {pipe->read_end.get()}));
  std::vector<std::string> texts;
  std::vector<Fd> fds;
  for (int turn = 0; turn < 100'000 && texts.size() < 2; ++turn) {
    ASSERT_TRUE(agent_->receive().value());
    for (Fd& fd : agent_->take_fds()) fds.push_back(std::move(fd));
    for (std::string& text : agent_reads()) texts.push_back(std::move(text));
    ASSERT_TRUE(launcher_->flush());
  }
  ASSERT_EQ(texts.size(), 2U);
  ASSERT_EQ(fds.size(), 2U);
  EXPECT_TRUE(is_readable_end(fds[1]));
  EXPECT_FALSE(is_readable_end(fds[0]));
}

TEST_F(NodeChannelTest, MoreDescriptorsThanTravelTogetherAreRefused) {
  const auto null = open_file("/dev/null", O_RDONLY);
  EXPECT_FALSE(launcher_->send(refuse("x"), std::vector<int>(9, null->get())));
  EXPECT_FALSE(launcher_->has_unsent());
}

TEST_F(NodeChannelTest, ADescriptorThatIsNotOpenIsAnError) {
  EXPECT_FALSE(launcher_->send(refuse("x"), {1'000'000}));
  EXPECT_FALSE(launcher_->has_unsent());
}

TEST_F(NodeChannelTest, LastWordsAreReadBeforeTheEnd) {
  ASSERT_TRUE(launcher_->send(refuse("last")));
  launcher_.reset();
  EXPECT_TRUE(agent_->receive().value());
  EXPECT_EQ(agent_reads(), (std::vector<std::string>{"last"}));
  EXPECT_FALSE(agent_->receive().value());
}

TEST_F(NodeChannelTest, APartOfAMessageAtTheEndIsNoMessage) {
  Frame frame;
  frame.type = FrameType::kLauncherMessage;
  frame.payload = refuse("cut short").SerializeAsString();
  const std::string bytes = encode(frame);
  put(std::string_view(bytes).substr(0, bytes.size() - 1));
  launcher_.reset();
  EXPECT_TRUE(agent_->receive().value());
  EXPECT_EQ(next(), std::nullopt);
  EXPECT_FALSE(agent_->receive().value());
}

TEST_F(NodeChannelTest, SendingToAPeerThatIsGoneIsAnError) {
  agent_.reset();
  EXPECT_FALSE(launcher_->send(refuse("x")));
}

TEST_F(NodeChannelTest, BytesThatAreNoFrameAreAnError) {
  put(std::string(kFrameHeaderSize, 'G'));
  EXPECT_TRUE(agent_->receive().value());
  EXPECT_FALSE(agent_->next_launcher_message());
}

TEST_F(NodeChannelTest, AFrameOfTheWrongKindIsAnError) {
  ASSERT_TRUE(launcher_->send(refuse("x")));
  EXPECT_TRUE(agent_->receive().value());
  EXPECT_FALSE(agent_->next_agent_message()) << "a launcher's word is not an agent's";
}

TEST_F(NodeChannelTest, APayloadThatIsNoMessageIsAnError) {
  Frame frame;
  frame.type = FrameType::kLauncherMessage;
  frame.payload = "\xff\xff\xff no protobuf";
  put(encode(frame));
  EXPECT_TRUE(agent_->receive().value());
  const auto message = agent_->next_launcher_message();
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().message, "a message on the node's socket cannot be read");
}

TEST_F(NodeChannelTest, AnEmptyMessageIsAWordThatThisVersionDoesNotKnow) {
  Frame frame;
  frame.type = FrameType::kLauncherMessage;
  put(encode(frame));
  EXPECT_TRUE(agent_->receive().value());
  const auto message = next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_case(), LauncherMessage::MESSAGE_NOT_SET);
}

TEST_F(NodeChannelTest, SurvivesRandomPayloads) {
  std::mt19937 random(20261123);
  for (int round = 0; round < 2000; ++round) {
    LauncherMessage message;
    message.mutable_spec()->set_rank(round);
    message.mutable_spec()->add_argv("python3");
    Frame frame;
    frame.type = FrameType::kLauncherMessage;
    frame.payload = message.SerializeAsString();
    for (auto changes = random() % 4; changes > 0 && !frame.payload.empty(); --changes) {
      if (random() % 4 == 0) frame.payload.resize(random() % frame.payload.size());
      if (!frame.payload.empty()) {
        frame.payload[random() % frame.payload.size()] = static_cast<char>(random());
      }
    }
    put(encode(frame));
    EXPECT_TRUE(agent_->receive().value());
    static_cast<void>(agent_->next_launcher_message());  // a message or an error, and no more of it
  }
}

}  // namespace
}  // namespace muster::protocol
