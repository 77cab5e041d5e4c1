#include "collector/replication/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::replication {
namespace {

using testing::HasSubstr;

const TokenKeys& keys() {
  static const TokenKeys made = keys_of("one token of 32 random bytes....");
  return made;
}
const TokenKeys& other_keys() {
  static const TokenKeys made = keys_of("another token of 32 random bytes");
  return made;
}

PeerHello self() {
  return {.writer = {.run_id = "20261123-0615-ab12",
                     .name = "node-3",
                     .node = "gpu-3",
                     .lowest_rank = 24,
                     .epoch = 42},
          .role = LinkRole::kBulk,
          .software = {}};
}

HandshakeSettings settings(const TokenKeys* keys, char nonce = 'n') {
  HandshakeSettings made;
  made.keys = keys;
  made.nonce = std::string(kKeySize, nonce);
  return made;
}

struct Outcome {
  Result<> client;
  Result<> server;
  std::string to_server;  // everything that was said
  std::string to_client;
};

// Everything each says reaches the other, `piece` bytes at a time.
Outcome talk(Handshake& client, Handshake& server, std::size_t piece = 10'000) {
  Outcome outcome;
  for (bool moved = true; moved;) {
    moved = false;
    for (const bool up : {true, false}) {
      const std::string bytes = (up ? client : server).take_output();
      (up ? outcome.to_server : outcome.to_client) += bytes;
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        moved = true;
        Handshake& to = up ? server : client;
        Result<>& result = up ? outcome.server : outcome.client;
        if (result) result = to.receive(std::string_view(bytes).substr(at, piece));
      }
    }
  }
  return outcome;
}

TEST(Handshake, TellsWhoConnects) {
  ClientHandshake client(settings(&keys(), 'c'), self());
  ServerHandshake server(settings(&keys(), 's'));
  const Outcome outcome = talk(client, server);
  ASSERT_TRUE(outcome.client) << outcome.client.error().message;
  ASSERT_TRUE(outcome.server) << outcome.server.error().message;
  ASSERT_TRUE(client.done() && server.done());
  EXPECT_TRUE(client.authenticated() && server.authenticated());
  EXPECT_EQ(server.version(), 1);
  ASSERT_TRUE(server.peer());
  EXPECT_EQ(server.peer()->writer.run_id, "20261123-0615-ab12");
  EXPECT_EQ(server.peer()->writer.name, "node-3");
  EXPECT_EQ(server.peer()->writer.node, "gpu-3");
  EXPECT_EQ(server.peer()->writer.lowest_rank, 24);
  EXPECT_EQ(server.peer()->writer.epoch, 42U);
  EXPECT_EQ(server.peer()->role, LinkRole::kBulk);
  EXPECT_LT(outcome.to_server.size(), 400U);
}

TEST(Handshake, DoesNotDependOnHowItsBytesCome) {
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 100U}) {
    ClientHandshake client(settings(&keys(), 'c'), self());
    ServerHandshake server(settings(&keys(), 's'));
    talk(client, server, piece);
    EXPECT_TRUE(client.done() && server.done()) << piece;
  }
}

TEST(Handshake, KeepsWhatComesAfterIt) {
  ClientHandshake client(settings(&keys(), 'c'), self());
  ServerHandshake server(settings(&keys(), 's'));
  ASSERT_TRUE(server.receive(client.take_output()));
  ASSERT_TRUE(client.receive(server.take_output()));
  ASSERT_TRUE(server.receive(client.take_output() + "frames"));
  EXPECT_EQ(server.take_rest(), "frames");
  ASSERT_TRUE(client.receive(server.take_output() + "more"));
  EXPECT_EQ(client.take_rest(), "more");
}

TEST(Handshake, RefusesAnotherToken) {
  ClientHandshake client(settings(&other_keys(), 'c'), self());
  ServerHandshake server(settings(&keys(), 's'));
  const Outcome outcome = talk(client, server);
  ASSERT_FALSE(outcome.server);
  ASSERT_FALSE(outcome.client);
  EXPECT_EQ(outcome.server.error().code, ErrorCode::kPermission);
  EXPECT_EQ(outcome.client.error().code, ErrorCode::kPermission);
  EXPECT_THAT(outcome.client.error().message, HasSubstr("another one"));
  EXPECT_FALSE(server.done());
}

// A collector that accepts everybody learns nothing and gets nothing.
TEST(Handshake, BelievesNoCollectorWithoutTheToken) {
  ClientHandshake client(settings(&keys(), 'c'), self());
  HandshakeSettings careless = settings(nullptr, 's');
  careless.must_authenticate = false;
  ServerHandshake server(std::move(careless));
  const Outcome outcome = talk(client, server);
  ASSERT_FALSE(outcome.client);
  EXPECT_THAT(outcome.client.error().message, HasSubstr("could be anybody"));
  EXPECT_FALSE(client.done() || server.done());
}

TEST(Handshake, BelievesNoProofOfItsOwn) {
  // A collector without the token that sends the client's own proof back.
  ClientHandshake client(settings(&keys(), 'c'), self());
  ServerHandshake honest(settings(&keys(), 's'));
  ASSERT_TRUE(honest.receive(client.take_output()));
  ASSERT_TRUE(client.receive(honest.take_output()));
  std::string proof = client.take_output();
  proof[2] = 4;  // as if it were the server's
  const auto result = client.receive(proof);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kPermission);
}

TEST(Handshake, AsksForATokenWhereItMust) {
  ClientHandshake client(settings(nullptr, 'c'), self());
  ServerHandshake server(settings(&keys(), 's'));
  const Outcome outcome = talk(client, server);
  ASSERT_FALSE(outcome.server);
  ASSERT_FALSE(outcome.client);
  EXPECT_THAT(outcome.client.error().message, HasSubstr("run token"));
}

TEST(Handshake, GoesWithoutTokensWhereBothMay) {
  for (const auto* server_keys : {static_cast<const TokenKeys*>(nullptr), &keys()}) {
    HandshakeSettings ours = settings(nullptr, 'c');
    HandshakeSettings theirs = settings(server_keys, 's');
    ours.must_authenticate = theirs.must_authenticate = false;
    ClientHandshake client(std::move(ours), self());
    ServerHandshake server(std::move(theirs));
    talk(client, server);
    EXPECT_TRUE(client.done() && server.done());
    EXPECT_FALSE(client.authenticated() || server.authenticated());
  }
}

TEST(Handshake, IsOfNoUseASecondTime) {
  ClientHandshake client(settings(&keys(), 'c'), self());
  ServerHandshake server(settings(&keys(), 's'));
  const Outcome outcome = talk(client, server);
  ASSERT_TRUE(server.done());
  ServerHandshake again(settings(&keys(), 't'));  // another connection, another nonce
  const auto result = again.receive(outcome.to_server);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kPermission);
  EXPECT_FALSE(again.done());
}

TEST(Handshake, IsBoundToItsTlsConnection) {
  HandshakeSettings ours = settings(&keys(), 'c');
  HandshakeSettings theirs = settings(&keys(), 's');
  ours.exporter = std::string(32, 'a');
  theirs.exporter = std::string(32, 'a');
  {
    ClientHandshake client(ours, self());
    ServerHandshake server(theirs);
    talk(client, server);
    EXPECT_TRUE(client.done() && server.done());
  }
  theirs.exporter = std::string(32, 'b');  // somebody between the two
  ClientHandshake client(ours, self());
  ServerHandshake server(theirs);
  const Outcome outcome = talk(client, server);
  ASSERT_FALSE(outcome.server);
  EXPECT_EQ(outcome.server.error().code, ErrorCode::kPermission);
  EXPECT_FALSE(client.done() || server.done());
}

TEST(Handshake, NoticesEveryChangedByte) {
  ClientHandshake sample(settings(&keys(), 'c'), self());
  const std::string hello = sample.take_output();
  for (std::size_t at = 0; at < hello.size(); ++at) {
    ClientHandshake client(settings(&keys(), 'c'), self());
    ServerHandshake server(settings(&keys(), 's'));
    std::string changed = client.take_output();
    changed[at] = static_cast<char>(changed[at] ^ 1);
    if (server.receive(changed)) static_cast<void>(talk(client, server));
    EXPECT_FALSE(client.done() && server.done()) << at;
  }
}

TEST(Handshake, NoticesACutAtEachByte) {
  ClientHandshake client(settings(&keys(), 'c'), self());
  ServerHandshake server(settings(&keys(), 's'));
  const Outcome whole = talk(client, server);
  for (std::size_t size = 0; size < whole.to_server.size(); ++size) {
    ServerHandshake cut(settings(&keys(), 's'));
    EXPECT_TRUE(cut.receive(whole.to_server.substr(0, size))) << size;
    EXPECT_FALSE(cut.done()) << size;
  }
  for (std::size_t size = 0; size < whole.to_client.size(); ++size) {
    ClientHandshake cut(settings(&keys(), 'c'), self());
    EXPECT_TRUE(cut.receive(whole.to_client.substr(0, size))) << size;
    EXPECT_FALSE(cut.done()) << size;
  }
}

TEST(Handshake, NamesBothVersionsOnBothSides) {
  for (const VersionRange theirs : {VersionRange{2, 3}, VersionRange{0, 0}}) {
    HandshakeSettings skewed = settings(&keys(), 'c');
    skewed.versions = theirs;
    ClientHandshake client(std::move(skewed), self());
    ServerHandshake server(settings(&keys(), 's'));
    const Outcome outcome = talk(client, server);
    for (const auto* side : {&outcome.client, &outcome.server}) {
      ASSERT_FALSE(*side);
      EXPECT_EQ(side->error().code, ErrorCode::kUsage);
      EXPECT_THAT(side->error().message, HasSubstr("version 1"));
      EXPECT_THAT(side->error().message, HasSubstr(theirs.highest == 0 ? "version 0" : "2 to 3"));
    }
  }
}

TEST(Handshake, TakesTheHighestVersionOfBoth) {
  HandshakeSettings newer = settings(&keys(), 'c');
  newer.versions = {1, 4};
  newer.capabilities = 0b110;
  HandshakeSettings older = settings(&keys(), 's');
  older.versions = {0, 2};
  older.capabilities = 0b011;
  ClientHandshake client(std::move(newer), self());
  ServerHandshake server(std::move(older));
  talk(client, server);
  ASSERT_TRUE(client.done() && server.done());
  EXPECT_EQ(client.version(), 2);
  EXPECT_EQ(server.version(), 2);
  EXPECT_EQ(client.capabilities(), 0b010U);
}

TEST(Handshake, TakesNoMoreThan4KibOfAStranger) {
  ServerHandshake server(settings(&keys(), 's'));
  ClientHandshake client(settings(&keys(), 'c'), self());
  const std::string preface = client.take_output().substr(0, 16);
  EXPECT_FALSE(server.receive(preface + std::string("\xff\xff\x01", 3)));
  ServerHandshake second(settings(&keys(), 's'));
  EXPECT_FALSE(second.receive(std::string(9000, 'x')));
}

TEST(Handshake, TakesNoNameThatLeadsElsewhere) {
  for (const char* name : {"..", "", "a/b", ".hidden", "latest", "-x", "a\nb", "\x1b[2J"}) {
    PeerHello hello = self();
    hello.writer.run_id = name;
    ClientHandshake client(settings(&keys(), 'c'), hello);
    ServerHandshake server(settings(&keys(), 's'));
    EXPECT_FALSE(talk(client, server).server) << name;
  }
}

}  // namespace
}  // namespace muster::replication
