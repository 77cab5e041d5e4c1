// Launchers that find each other, over real sockets.
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "base/files.h"
#include "base/signals.h"
#include "collector/replication/handshake.h"
#include "launcher/link/address_file.h"
#include "launcher/link/frame_queue.h"
#include "launcher/link/socket_address.h"
#include "tests/unit/link/link_fixture.h"

namespace muster::link {
namespace {

using namespace std::chrono_literals;
using cluster::HeadAction;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using What = HeadAction::What;
using Case = protocol::HeadMessage::MessageCase;

const std::string kLoopback("\x7f\0\0\1", 4);

// Speaks to a head that takes everybody, word by word, as a member that was made by hand.
class ByHand {
 public:
  explicit ByHand(std::uint16_t port) {
    socket_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto target = socket_address(kLoopback, port);
    connected_ = ::connect(socket_.get(), target->get(), target->size) == 0;
    timeval limit{};
    limit.tv_sec = 60;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }

  bool connected() const { return connected_; }
  void say(std::string_view bytes) {
    static_cast<void>(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  void say(const protocol::MemberMessage& message) {
    FrameQueue frames;
    frames.push(protocol::FrameType::kMemberMessage, message);
    say(frames.take(1U << 20));
  }
  // Some bytes; "": the head has closed the connection.
  std::string hear() {
    std::string bytes(64U << 10, '\0');
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }
  std::string hear_all() {
    std::string all;
    for (std::string some = hear(); !some.empty(); some = hear()) all += some;
    return all;
  }
  bool shake_hands(int node_rank) {
    replication::HandshakeSettings settings;
    settings.must_authenticate = false;
    settings.nonce = replication::random_bytes(replication::kKeySize);
    replication::PeerHello self;
    self.writer.run_id = shown_nonce("");
    self.writer.name = "node-" + std::to_string(node_rank);
    self.role = replication::LinkRole::kControl;
    replication::ClientHandshake handshake(std::move(settings), self);
    say(handshake.take_output());
    while (!handshake.done()) {
      const std::string bytes = hear();
      if (bytes.empty() || !handshake.receive(bytes)) return false;
      say(handshake.take_output());
    }
    reader_.append(handshake.take_rest());
    return true;
  }
  void join(int node_rank, int node_count) {
    protocol::MemberMessage message;
    *message.mutable_join() = join_of(node_rank, node_count);
    say(message);
  }
  // The next message; nullopt: there will be none.
  std::optional<protocol::HeadMessage> next() {
    while (true) {
      const auto frame = reader_.next();
      if (!frame) return std::nullopt;
      if (*frame) {
        protocol::HeadMessage message;
        if (!message.ParseFromString((*frame)->payload)) return std::nullopt;
        return message;
      }
      const std::string bytes = hear();
      if (bytes.empty()) return std::nullopt;
      reader_.append(bytes);
    }
  }
  void answer(const protocol::Beat& beat) {
    protocol::MemberMessage message;
    message.mutable_beat()->set_number(beat.number());
    message.mutable_beat()->set_head_sent(beat.sent());
    message.mutable_beat()->set_received(replication::system_wall_clock());
    message.mutable_beat()->set_sent(replication::system_wall_clock());
    say(message);
  }
  void reset() {
    const linger none{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    socket_.reset();
  }

 private:
  Fd socket_;
  bool connected_ = false;
  protocol::FrameReader reader_;
};

class OpenLinkTest : public LinkTest {
 protected:
  HeadLinkSettings open_settings(int node_count) {
    HeadLinkSettings settings = head_settings(node_count);
    settings.listen.transport = replication::Transport::kTcp;
    settings.keys = nullptr;
    settings.insecure = true;
    return settings;
  }
};

TEST_F(LinkTest, ThreeMembersJoinAndBothSidesAreHeard) {
  const auto head = open(head_settings(4));
  SeenByHead seen(*head);
  std::vector<std::unique_ptr<MemberLink>> members;
  for (const int rank : {3, 1, 2}) members.push_back(member(rank, 4, *head));
  ASSERT_TRUE(seen.has(What::kAllHere)) << seen.text();
  EXPECT_THAT(seen.of(What::kJoined), SizeIs(3));
  EXPECT_EQ(members[0]->head()->port, head->address().port);
  const auto nodes = head->nodes();
  ASSERT_THAT(nodes, SizeIs(4));
  EXPECT_EQ(nodes[2].hostname, "node-2");
  EXPECT_EQ(nodes[2].join.own_address(), kLoopback);
  EXPECT_EQ(nodes[2].join.head_address(), kLoopback);

  protocol::HeadMessage part;
  part.mutable_part()->set_node_rank(1);
  head->send(1, part);
  protocol::HeadMessage go;
  go.mutable_go();
  head->send_to_all(go);
  SeenByMember first(*members[1]);  // node rank 1
  SeenByMember last(*members[0]);
  ASSERT_TRUE(wait_for([&] { return first.message(Case::kGo) && last.message(Case::kGo); }));
  EXPECT_TRUE(first.message(Case::kPart));
  EXPECT_FALSE(last.message(Case::kPart));

  // Larger than what a socket takes at once.
  protocol::MemberMessage line;
  line.mutable_stored()->set_problem(std::string(3U << 20, 'x'));
  members[1]->send(line);
  ASSERT_TRUE(seen.has(What::kMessage));
  const HeadAction said = seen.of(What::kMessage).front();
  EXPECT_EQ(said.node_rank, 1);
  EXPECT_EQ(said.received.stored().problem().size(), 3U << 20);
  // Beats are the links' own affair, and clocks come of them.
  ASSERT_TRUE(wait_for([&] { return head->nodes()[3].clock.has_value(); }));
  EXPECT_LT(std::chrono::abs(head->nodes()[3].clock->offset), 10s);

  protocol::RunEnd end;
  end.set_exit_code(17);
  head->end(end, 30s);
  for (const auto& link : members) {
    SeenByMember left(*link);
    ASSERT_TRUE(wait_for([&] { return left.message(Case::kEnd) != nullptr; }));
    EXPECT_EQ(left.message(Case::kEnd)->end().exit_code(), 17);
    EXPECT_EQ(left.failure(), nullptr);
  }
  EXPECT_THAT(seen.of(What::kLost), SizeIs(0));
}

TEST_F(LinkTest, AnotherTokenIsTheEndForAMemberAndALineForTheHead) {
  const auto head = open(head_settings(2));
  SeenByHead seen(*head);
  MemberLinkSettings wrong = member_settings(1, 2, head->address().port);
  wrong.keys = keys(replication::make_token());
  const auto stranger = open(std::move(wrong));
  SeenByMember told(*stranger);
  ASSERT_TRUE(wait_for([&] { return told.failure() != nullptr; }));
  EXPECT_EQ(told.failure()->code, ErrorCode::kPermission);
  EXPECT_THAT(told.failure()->message, HasSubstr("the run token is another one"));
  ASSERT_TRUE(seen.has(What::kRefused));
  EXPECT_THAT(seen.text(), Not(HasSubstr(token_.substr(0, 16))));
  // It goes on waiting, and lets in who has the token.
  const auto right = member(1, 2, *head);
  EXPECT_TRUE(seen.has(What::kAllHere));
}

TEST_F(OpenLinkTest, AnotherVersionIsToldBoth) {
  const auto head = open(open_settings(2));
  SeenByHead seen(*head);
  ByHand other(head->address().port);
  ASSERT_TRUE(other.connected());
  other.say(std::string_view("MUSTER\r\n\x07\0\x09\0\0\0\0\0", 16));
  EXPECT_THAT(other.hear_all(), HasSubstr("MUSTER\r\n"));
  ASSERT_TRUE(seen.has(What::kRefused));
  EXPECT_THAT(seen.text(), HasSubstr("the other launcher version 7 to 9"));
  // Of the same words, and another program.
  MemberLinkSettings old = member_settings(1, 2, head->address().port);
  old.keys = nullptr;
  old.insecure = true;
  old.join.set_software("muster 0.0.1");
  const auto older = open(std::move(old));
  SeenByMember told(*older);
  ASSERT_TRUE(wait_for([&] { return told.failure() != nullptr; }));
  EXPECT_EQ(told.failure()->code, ErrorCode::kResources);
  EXPECT_THAT(told.failure()->message, HasSubstr("muster 0.0.1"));
}

TEST_F(LinkTest, ASecondLauncherOfANodeRankIsRefusedAndTheFirstStays) {
  const auto head = open(head_settings(3));
  SeenByHead seen(*head);
  const auto first = member(1, 3, *head);
  ASSERT_TRUE(seen.has(What::kJoined));
  MemberLinkSettings again = member_settings(1, 3, head->address().port);
  again.join.set_launcher("another");
  const auto second = open(std::move(again));
  SeenByMember told(*second);
  ASSERT_TRUE(wait_for([&] { return told.failure() != nullptr; }));
  EXPECT_EQ(told.failure()->code, ErrorCode::kUsage);
  EXPECT_THAT(told.failure()->message, HasSubstr("node rank 1"));
  const auto last = member(2, 3, *head);
  EXPECT_TRUE(seen.has(What::kAllHere));
  EXPECT_EQ(SeenByMember(*first).failure(), nullptr);
}

TEST_F(LinkTest, AMemberThatGoesIsLostAtOnceAndOthersAreTold) {
  const auto head = open(head_settings(3));
  SeenByHead seen(*head);
  auto first = member(1, 3, *head);
  const auto second = member(2, 3, *head);
  ASSERT_TRUE(seen.has(What::kAllHere));
  first.reset();
  // Long before anybody is given up for his silence (35 s).
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(seen.has(What::kLost));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 20s);
  EXPECT_EQ(seen.of(What::kLost).front().node_rank, 1);
  EXPECT_THAT(seen.of(What::kLost).front().text, HasSubstr("node-1"));
  EXPECT_EQ(SeenByMember(*second).failure(), nullptr);
}

TEST_F(OpenLinkTest, AResetIsALoss) {
  const auto head = open(open_settings(2));
  SeenByHead seen(*head);
  ByHand member(head->address().port);
  ASSERT_TRUE(member.shake_hands(1));
  member.join(1, 2);
  ASSERT_TRUE(seen.has(What::kAllHere));
  member.reset();
  ASSERT_TRUE(seen.has(What::kLost));
  EXPECT_THAT(seen.text(), HasSubstr("reset"));
}

TEST_F(OpenLinkTest, AMemberThatIsStoppedIsSuspectAndGoesOn) {
  HeadLinkSettings settings = open_settings(2);
  settings.limits.beat_every = 50ms;
  settings.limits.suspect_after = 600ms;
  settings.limits.lost_after = 120s;
  const auto head = open(std::move(settings));
  SeenByHead seen(*head);
  ByHand member(head->address().port);
  ASSERT_TRUE(member.shake_hands(1));
  member.join(1, 2);
  ASSERT_TRUE(seen.has(What::kSuspect)) << seen.text();  // it answers nothing
  EXPECT_THAT(seen.text(), HasSubstr("node-1"));
  auto said = member.next();
  while (said && !said->has_beat()) said = member.next();
  ASSERT_TRUE(said);
  member.answer(said->beat());
  ASSERT_TRUE(seen.has(What::kWakes));
  EXPECT_THAT(seen.of(What::kLost), SizeIs(0));
}

TEST_F(OpenLinkTest, OneThatStaysSilentIsLost) {
  HeadLinkSettings settings = open_settings(2);
  settings.limits.beat_every = 50ms;
  settings.limits.suspect_after = 300ms;
  settings.limits.lost_after = 900ms;
  const auto head = open(std::move(settings));
  SeenByHead seen(*head);
  ByHand member(head->address().port);
  ASSERT_TRUE(member.shake_hands(1));
  member.join(1, 2);
  ASSERT_TRUE(seen.has(What::kLost));
  EXPECT_THAT(seen.of(What::kSuspect), SizeIs(1));
  EXPECT_THAT(seen.text(), HasSubstr("silent"));
  while (member.next()) {
  }  // and it is told so by the end of the connection
}

TEST_F(OpenLinkTest, NonsenseEndsTheConnectionAndNotTheRun) {
  const auto head = open(open_settings(3));
  SeenByHead seen(*head);
  ByHand good(head->address().port);
  ASSERT_TRUE(good.shake_hands(1));
  good.join(1, 3);
  ASSERT_TRUE(seen.has(What::kJoined));
  std::string huge(32, '\0');
  huge[3] = 0x40;  // a payload of 1 GiB
  huge[4] = 5;
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: muster\r\nAccept: text/html\r\n\r\n"),
        std::string(4096, '\xff'), huge}) {
    ByHand bad(head->address().port);
    ASSERT_TRUE(bad.shake_hands(2));
    bad.say(bytes);
    while (bad.next()) {
    }
  }
  ByHand other(head->address().port);
  ASSERT_TRUE(other.shake_hands(2));
  protocol::MemberMessage early;
  early.mutable_stored()->set_problem("before it has joined");
  other.say(early);
  const auto refused = other.next();
  ASSERT_TRUE(refused && refused->has_refused());
  ByHand last(head->address().port);
  ASSERT_TRUE(last.shake_hands(2));
  last.join(2, 3);
  EXPECT_TRUE(seen.has(What::kAllHere)) << seen.text();
  EXPECT_THAT(seen.of(What::kLost), SizeIs(0));
}

TEST_F(LinkTest, AMemberWaitsForAHeadThatComesLater) {
  HeadLinkSettings settings = head_settings(2);
  // Not one that the kernel gives to others meanwhile.
  settings.listen.port = static_cast<std::uint16_t>(20'000 + ::getpid() % 12'000);
  while (!HeadLink::open(settings)) ++settings.listen.port;
  const auto early = open(member_settings(1, 2, settings.listen.port));
  SeenByMember told(*early);
  ASSERT_TRUE(wait_for([&] { return told.text().find("refused") != std::string::npos; }));
  EXPECT_THAT(told.text(), HasSubstr("waits for the head at tls:127.0.0.1:" +
                                     std::to_string(settings.listen.port)));
  const auto head = open(settings);
  SeenByHead seen(*head);
  EXPECT_TRUE(seen.has(What::kAllHere));
}

TEST_F(LinkTest, AMemberGivesUpAtTheDeadlineAndSaysWhy) {
  MemberLinkSettings settings = member_settings(1, 2, 1);
  settings.membership.head_address.value = "no-such-host.invalid";
  settings.join_timeout = 300ms;
  const auto alone = open(std::move(settings));
  SeenByMember told(*alone);
  ASSERT_TRUE(wait_for([&] { return told.failure() != nullptr; }));
  EXPECT_EQ(told.failure()->code, ErrorCode::kTimeout);
  EXPECT_THAT(told.failure()->message, HasSubstr("looking up no-such-host.invalid"));
}

TEST_F(LinkTest, TheHeadIsGone) {
  auto head = open(head_settings(2));
  SeenByHead seen(*head);
  const auto link = member(1, 2, *head);
  ASSERT_TRUE(seen.has(What::kAllHere));
  protocol::HeadMessage part;
  part.mutable_part();
  head->send(1, part);
  SeenByMember told(*link);
  ASSERT_TRUE(wait_for([&] { return told.message(Case::kPart) != nullptr; }));
  head.reset();
  ASSERT_TRUE(wait_for([&] { return told.failure() != nullptr; }));
  EXPECT_EQ(told.failure()->code, ErrorCode::kInternal);
  EXPECT_THAT(told.failure()->message, HasSubstr("the head is gone"));
}

TEST_F(LinkTest, AnAddressFileLeadsToTheHead) {
  const auto file = scratch() / "head";
  // Of a head that was killed: nobody is there, and later it is another one.
  HeadLinkSettings settings = head_settings(2);
  settings.own.add_addresses()->set_address(kLoopback);
  settings.own.mutable_addresses(0)->set_is_up(true);
  settings.own.mutable_addresses(0)->set_is_loopback(true);
  settings.address_file = file;
  std::string stale;
  {
    const auto before = open(settings);
    settings.listen.port = before->address().port;
    stale = *read_file(file);
  }
  EXPECT_FALSE(std::filesystem::exists(file)) << "a head that ends takes its file along";
  MemberLinkSettings member = member_settings(1, 2, 0);
  member.membership.head_address.value.clear();
  member.membership.address_file.emplace();
  member.membership.address_file->value = file.string();
  const auto link = open(std::move(member));
  SeenByMember told(*link);
  ASSERT_TRUE(wait_for([&] { return told.text().find(file.string()) != std::string::npos; }));

  // The new head has the port of the one before, and for a while there still is its file.
  const auto head = open(settings);
  const std::string fresh = *read_file(file);
  ASSERT_TRUE(replace_file(file, stale));
  SeenByHead seen(*head);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(told.failure(), nullptr);
  ASSERT_TRUE(replace_file(file, fresh));
  EXPECT_TRUE(seen.has(What::kAllHere)) << told.text();
}

TEST_F(LinkTest, ARingProvesWhichAddressesCanBeReached) {
  const auto head = open(head_settings(3));
  SeenByHead seen(*head);
  std::vector<std::unique_ptr<MemberLink>> members;
  for (const int rank : {1, 2}) {
    MemberLinkSettings settings = member_settings(rank, 3, head->address().port);
    // Nobody answers there (192.0.2.0/24 is for examples).
    settings.join.add_addresses()->set_address("\xc0\0\2\7", 4);
    settings.join.mutable_addresses(0)->set_is_up(true);
    members.push_back(open(std::move(settings)));
  }
  ASSERT_TRUE(seen.has(What::kAllHere));
  EXPECT_FALSE(head->proofs());
  head->prove_ring(1500ms);
  ASSERT_TRUE(wait_for([&] { return head->proofs().has_value(); }));
  const auto proofs = *head->proofs();
  ASSERT_THAT(proofs, SizeIs(5));
  std::size_t reached = 0;
  for (const cluster::Proof& proof : proofs) {
    EXPECT_EQ((proof.from + 1) % 3, proof.to);
    EXPECT_EQ(proof.reached, proof.address == kLoopback) << proof.problem;
    if (proof.reached) ++reached;
    EXPECT_EQ(proof.reached, proof.problem.empty());
  }
  EXPECT_EQ(reached, 3U);
  EXPECT_THAT(seen.of(What::kMessage), SizeIs(0)) << "probes are the links' own affair";
}

}  // namespace
}  // namespace muster::link
