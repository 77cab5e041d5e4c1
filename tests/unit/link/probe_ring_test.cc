// Who dials whom, and what is made of the answers.
#include "launcher/link/probe_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::link {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ip(int last) {
  return std::string("\x0a\0\0", 3) + static_cast<char>(last);
}

protocol::Join node(const std::vector<std::string>& addresses) {
  protocol::Join join;
  for (const std::string& each : addresses) {
    protocol::InterfaceAddress& address = *join.add_addresses();
    address.set_address(each);
    address.set_is_up(true);
  }
  return join;
}

protocol::MemberMessage listening(std::uint32_t id, std::uint32_t port) {
  protocol::MemberMessage message;
  message.mutable_listening()->set_id(id);
  message.mutable_listening()->set_port(port);
  return message;
}

protocol::MemberMessage probed(std::uint32_t id, const std::string& address,
                               const std::string& problem = "") {
  protocol::MemberMessage message;
  message.mutable_probed()->set_id(id);
  message.mutable_probed()->set_address(address);
  message.mutable_probed()->set_problem(problem);
  return message;
}

class ProbeRingTest : public testing::Test {
 protected:
  ProbeRingTest() : joins_{node({ip(1), ip(11)}), node({ip(2)}), node({ip(3)})} {}

  ProbeRing ring() {
    return ProbeRing({&joins_[0], &joins_[1], &joins_[2]}, 2000,
                     [this] { return std::string(16, static_cast<char>('a' + nonces_++)); });
  }

  std::vector<protocol::Join> joins_;
  int nonces_ = 0;
};

TEST_F(ProbeRingTest, EachDialsTheNextAndTheLastDialsNodeZero) {
  ProbeRing probes = ring();
  ASSERT_THAT(probes.start(), SizeIs(3));
  EXPECT_EQ(probes.start()[1].first, 1);
  EXPECT_EQ(probes.start()[1].second.listen().nonce(), std::string(16, 'b'));
  for (int to = 0; to < 3; ++to) {
    const auto dials = probes.take(to, listening(static_cast<std::uint32_t>(to), 4000));
    ASSERT_THAT(dials, SizeIs(1));
    EXPECT_EQ(dials[0].first, (to + 2) % 3);
    EXPECT_EQ(dials[0].second.dial().addresses_size(), to == 0 ? 2 : 1);
    EXPECT_EQ(dials[0].second.dial().nonce(), std::string(16, static_cast<char>('a' + to)));
    EXPECT_LT(dials[0].second.dial().limit_ms(), 2000);
  }
  probes.take(0, probed(1, ip(2)));
  probes.take(1, probed(2, ip(3)));
  probes.take(2, probed(0, ip(1)));
  EXPECT_FALSE(probes.is_done());
  probes.take(2, probed(0, ip(11), "no answer within 1500 ms"));
  ASSERT_TRUE(probes.is_done());
  const auto proofs = probes.proofs();
  ASSERT_THAT(proofs, SizeIs(4));
  EXPECT_EQ(proofs[0].from, 0);
  EXPECT_EQ(proofs[0].to, 1);
  EXPECT_TRUE(proofs[0].reached);
  EXPECT_EQ(proofs[3].from, 2);
  EXPECT_EQ(proofs[3].address, ip(11));
  EXPECT_FALSE(proofs[3].reached);
  EXPECT_EQ(proofs[3].problem, "no answer within 1500 ms");
}

TEST_F(ProbeRingTest, OnlyWhoWasAskedIsBelieved) {
  ProbeRing probes = ring();
  EXPECT_THAT(probes.take(2, listening(1, 4000)), IsEmpty());  // not its listener
  EXPECT_THAT(probes.take(1, listening(7, 4000)), IsEmpty());
  ASSERT_THAT(probes.take(1, listening(1, 4000)), SizeIs(1));
  EXPECT_THAT(probes.take(1, listening(1, 4001)), IsEmpty());  // twice
  probes.take(2, probed(1, ip(2)));                            // node 0 was to dial
  probes.take(0, probed(1, ip(9)));                            // an address that nobody has
  probes.take(0, probed(1, ip(2), "connection refused"));
  probes.take(0, probed(1, ip(2)));  // another word of the same
  probes.give_up("no answer");
  EXPECT_EQ(probes.proofs()[0].problem, "connection refused");
  EXPECT_FALSE(probes.proofs()[0].reached);
}

TEST_F(ProbeRingTest, ANodeThatIsGoneOrCannotListenIsWaitedForNoLonger) {
  ProbeRing probes = ring();
  probes.take(1, listening(1, 0));
  probes.give_up_node(2, "the node is gone");
  EXPECT_TRUE(probes.is_done());
  EXPECT_THAT(probes.proofs()[0].problem, HasSubstr("cannot listen"));
  EXPECT_EQ(probes.proofs()[1].problem, "the node is gone");
  EXPECT_EQ(probes.proofs()[2].problem, "the node is gone");
}

TEST_F(ProbeRingTest, LoopbackCountsOnlyWhereTheRunHasUsedIt) {
  joins_[1] = node({});
  protocol::InterfaceAddress& loopback = *joins_[1].add_addresses();
  loopback.set_address(std::string("\x7f\0\0\1", 4));
  loopback.set_is_up(true);
  loopback.set_is_loopback(true);
  EXPECT_THAT(ring().proofs(), SizeIs(3));
  joins_[1].set_own_address(loopback.address());
  EXPECT_THAT(ring().proofs(), SizeIs(4));
}

}  // namespace
}  // namespace muster::link
