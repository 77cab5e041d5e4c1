#include "launcher/exec/control_client.h"

#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/unix_socket.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;

class ControlClientTest : public test::ScratchTest {
 protected:
  std::filesystem::path socket() const { return scratch() / "control.sock"; }
};

TEST_F(ControlClientTest, WithoutASocketOrAListenerNobodyIsThere) {
  const auto absent = ControlClient::connect(socket());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kResources);
  {
    const auto listener = listen_unix(socket(), 1);
    ASSERT_TRUE(listener);
  }
  const auto stale = ControlClient::connect(socket());
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, ErrorCode::kResources);
  EXPECT_NE(stale.error().message.find("Connection refused"), std::string::npos);
}

TEST_F(ControlClientTest, ASocketOfSomebodyElseIsNotPermitted) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  const auto listener = listen_unix(socket(), 1);
  ASSERT_TRUE(listener);
  ::chmod(scratch().c_str(), 0700);
  const auto path = socket();
  MUSTER_EXPECT_IN_FORK([path]() -> std::string {
    if (::setuid(65534) != 0) return "setuid failed";
    const auto connected = ControlClient::connect(path);
    if (connected) return "it connected";
    return connected.error().code == ErrorCode::kPermission ? "" : connected.error().message;
  });
}

TEST_F(ControlClientTest, ASilentLauncherIsWaitedForSoLong) {
  const auto listener = listen_unix(socket(), 1);
  ASSERT_TRUE(listener);
  auto client = ControlClient::connect(socket());
  ASSERT_TRUE(client);
  const auto began = std::chrono::steady_clock::now();
  const auto status = client->status(50ms);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kTimeout);
  EXPECT_GE(std::chrono::steady_clock::now() - began, 50ms);
}

TEST_F(ControlClientTest, GarbageAndAnEndAreErrors) {
  const auto listener = listen_unix(socket(), 1);
  ASSERT_TRUE(listener);
  for (const std::string& said : {std::string(64, 'G'), std::string()}) {
    auto client = ControlClient::connect(socket());
    ASSERT_TRUE(client);
    {
      auto accepted = accept_unix(*listener);
      ASSERT_TRUE(accepted);
      ASSERT_TRUE(write_all(*accepted, said));
    }
    const auto status = client->status(5s);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInternal);
  }
}

TEST_F(ControlClientTest, ARefusalIsToldWithItsReason) {
  const auto listener = listen_unix(socket(), 1);
  ASSERT_TRUE(listener);
  auto client = ControlClient::connect(socket());
  ASSERT_TRUE(client);
  {
    auto accepted = accept_unix(*listener);
    ASSERT_TRUE(accepted);
    protocol::ControlChannel server(std::move(*accepted),
                                    protocol::ControlChannel::Side::kLauncher);
    protocol::ControlReply reply;
    reply.set_refused("not yours");
    ASSERT_TRUE(server.send(reply));
  }
  const auto status = client->status(5s);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kPermission);
  EXPECT_EQ(status.error().message, "not yours");
}

TEST_F(ControlClientTest, AStateThatOvertakesAnAnswerIsKept) {
  const auto listener = listen_unix(socket(), 1);
  ASSERT_TRUE(listener);
  auto client = ControlClient::connect(socket());
  ASSERT_TRUE(client);
  auto accepted = accept_unix(*listener);
  ASSERT_TRUE(accepted);
  protocol::ControlChannel server(std::move(*accepted), protocol::ControlChannel::Side::kLauncher);
  protocol::ControlReply state;
  state.mutable_state()->set_phase(protocol::RunState::STOPPING);
  protocol::ControlReply cancel;
  cancel.mutable_cancel()->set_accepted(true);
  ASSERT_TRUE(server.send(state));
  ASSERT_TRUE(server.send(cancel));
  const auto answer = client->cancel(false, 5s);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->accepted());
  const auto kept = client->next_state(0ms);
  ASSERT_TRUE(kept);
  ASSERT_TRUE(*kept);
  EXPECT_EQ((*kept)->phase(), protocol::RunState::STOPPING);
  EXPECT_FALSE(*client->next_state(10ms)) << "nothing more came";
}

}  // namespace
}  // namespace muster::exec
