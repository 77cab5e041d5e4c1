#include "base/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "tests/support/scratch.h"

namespace muster {
namespace {

namespace fs = std::filesystem;

bool is_same_file(int a, int b) {
  struct stat first {};
  struct stat second {};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

struct Pair {
  Fd here;
  Fd there;
};

Pair connected_pair(int flags = 0) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

class UnixSocketTest : public test::ScratchTest {
 protected:
  // A path below scratch() of exactly that many bytes.
  fs::path path_of_length(std::size_t length) const {
    const std::string base = scratch().string() + "/";
    return base + std::string(length - base.size(), 's');
  }
};

TEST_F(UnixSocketTest, TheKernelSaysWhoConnected) {
  const auto listener = listen_unix(scratch() / "s", 4);
  ASSERT_TRUE(listener) << listener.error().message;
  const auto none = accept_unix(*listener);
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none) << "nobody is waiting";
  const auto client = connect_unix(scratch() / "s");
  ASSERT_TRUE(client) << client.error().message;
  const auto accepted = accept_unix(*listener);
  ASSERT_TRUE(accepted);
  ASSERT_TRUE(*accepted);
  const auto peer = peer_credentials(*accepted);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->uid, ::getuid());
  EXPECT_EQ(peer->gid, ::getgid());
}

TEST_F(UnixSocketTest, DescriptorsArriveOpenInOrderAndCloseOnExec) {
  const Pair pair = connected_pair();
  const auto pipe = make_pipe();
  const auto null = open_file("/dev/null", O_RDONLY);
  const std::array<int, 2> fds = {null->get(), pipe->write_end.get()};
  ASSERT_EQ(send_some(pair.here, "hello", fds).value(), 5U);
  std::array<char, 64> buffer;
  const auto received = receive_some(pair.there, buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(std::string_view(buffer.data(), received->bytes), "hello");
  ASSERT_EQ(received->fds.size(), 2U);
  EXPECT_TRUE(is_same_file(received->fds[0].get(), null->get()));
  EXPECT_TRUE(is_same_file(received->fds[1].get(), pipe->write_end.get()));
  EXPECT_NE(::fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(UnixSocketTest, AsManyDescriptorsAsAreAllowedFitInOneSend) {
  const Pair pair = connected_pair();
  const auto null = open_file("/dev/null", O_RDONLY);
  const std::vector<int> fds(kMaxDescriptorsPerSend, null->get());
  ASSERT_TRUE(send_some(pair.here, "x", fds));
  std::array<char, 8> buffer;
  const auto received = receive_some(pair.there, buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->fds.size(), kMaxDescriptorsPerSend);
}

TEST_F(UnixSocketTest, SendsAPartWhenTheSocketIsFullAndThenNothing) {
  const Pair pair = connected_pair(SOCK_NONBLOCK);
  const std::string big(8 << 20, 'x');
  std::size_t sent = 0;
  while (true) {
    const auto some = send_some(pair.here, std::string_view(big).substr(sent), {});
    ASSERT_TRUE(some) << some.error().message;
    if (*some == 0) break;
    sent += *some;
  }
  EXPECT_GT(sent, 0U);
  EXPECT_LT(sent, big.size());
  std::vector<char> buffer(1 << 16);
  std::size_t got = 0;
  while (got < sent) {
    const auto received = receive_some(pair.there, buffer);
    ASSERT_TRUE(received && received->bytes > 0);
    got += received->bytes;
  }
  EXPECT_EQ(got, sent);
  EXPECT_GT(send_some(pair.here, big, {}).value(), 0U) << "there is room again";
}

TEST_F(UnixSocketTest, NothingWaitingIsNoEnd) {
  const Pair pair = connected_pair(SOCK_NONBLOCK);
  std::array<char, 8> buffer;
  const auto received = receive_some(pair.there, buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->bytes, 0U);
  EXPECT_FALSE(received->end);
}

TEST_F(UnixSocketTest, APeerThatIsGoneIsAnEndForTheReaderAndAnErrorForTheWriter) {
  Pair pair = connected_pair(SOCK_NONBLOCK);
  ASSERT_TRUE(send_some(pair.here, "last words", {}));
  pair.here.reset();
  std::array<char, 64> buffer;
  EXPECT_EQ(receive_some(pair.there, buffer).value().bytes, 10U);
  EXPECT_TRUE(receive_some(pair.there, buffer).value().end);
  EXPECT_FALSE(send_some(pair.there, "x", {})) << "and no SIGPIPE";
}

TEST_F(UnixSocketTest, APeerThatClosedWithUnreadBytesIsAnEndToo) {
  Pair pair = connected_pair(SOCK_NONBLOCK);
  ASSERT_TRUE(send_some(pair.there, "never read", {}));
  pair.here.reset();  // the other side then sees ECONNRESET
  std::array<char, 64> buffer;
  const auto received = receive_some(pair.there, buffer);
  ASSERT_TRUE(received) << received.error().message;
  EXPECT_TRUE(received->end);
}

TEST_F(UnixSocketTest, TheLongestPathWorks) {
  const fs::path path = path_of_length(kMaxSocketPath);
  const auto listener = listen_unix(path, 1);
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_TRUE(connect_unix(path));
}

TEST_F(UnixSocketTest, ALongerPathIsRefusedWithBothNumbers) {
  const fs::path path = path_of_length(kMaxSocketPath + 1);
  const std::string message = "socket path " + path.string() + " has 108 bytes, at most 107 fit";
  EXPECT_EQ(listen_unix(path, 1).error().message, message);
  EXPECT_EQ(connect_unix(path).error().message, message);
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(UnixSocketTest, ConnectingToNobodySaysWhere) {
  EXPECT_EQ(connect_unix(scratch() / "s").error().message,
            "connecting to " + (scratch() / "s").string() + ": No such file or directory");
}

}  // namespace
}  // namespace muster
