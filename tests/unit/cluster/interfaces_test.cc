// Which network a run takes, among decoys.
#include "launcher/cluster/interfaces.h"

#include <arpa/inet.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string bytes_of(const std::string& text) {
  const bool six = text.find(':') != text.npos;
  std::string bytes(six ? 16 : 4, '\0');
  EXPECT_EQ(::inet_pton(six ? AF_INET6 : AF_INET, text.c_str(), bytes.data()), 1) << text;
  return bytes;
}

// "eth0 10.0.0.1/24", "docker0 172.17.0.1/16 down"
struct Node {
  std::string name;
  std::vector<std::string> addresses;
  std::string own = {};   // of its connection; of the head: what the others dialled
  std::string boot = {};  // its own where it is empty
};

class Nodes {
 public:
  explicit Nodes(const std::vector<Node>& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) joins_.push_back(join_of(nodes, i));
  }

  // Nothing is said of an address that was not tried.
  Nodes& unreached(int to, const std::string& address) {
    const int count = static_cast<int>(joins_.size());
    proofs_.push_back({(to + count - 1) % count, to, bytes_of(address), false, "no route to host"});
    return *this;
  }

  Result<NetworkChoice> choice(const std::vector<std::string>& wanted = {}) const {
    std::vector<const protocol::Join*> joins;
    for (const auto& join : joins_) joins.push_back(&join);
    return choose_network(joins, proofs_, wanted);
  }

  std::string chosen(const std::vector<std::string>& wanted = {}) const {
    const auto made = choice(wanted);
    if (!made) return made.error().message;
    std::string text;
    for (const std::string& cidr : made->cidrs) text += cidr + " ";
    for (const NodeNetwork& node : made->nodes) text += node.interface + "=" + node.address + " ";
    return text;
  }

 private:
  static protocol::Join join_of(const std::vector<Node>& nodes, std::size_t i) {
    protocol::Join join;
    join.set_node_rank(static_cast<int>(i));
    join.set_hostname(nodes[i].name);
    join.set_boot_id(nodes[i].boot.empty() ? "boot " + std::to_string(i) : nodes[i].boot);
    std::uint32_t index = 0;
    for (const std::string& text : nodes[i].addresses) {
      const std::size_t blank = text.find(' ');
      const std::size_t slash = text.find('/');
      auto& address = *join.add_addresses();
      address.set_interface(text.substr(0, blank));
      address.set_address(bytes_of(text.substr(blank + 1, slash - blank - 1)));
      address.set_prefix(static_cast<std::uint32_t>(std::stoi(text.substr(slash + 1))));
      address.set_is_up(!text.ends_with(" down"));
      address.set_is_loopback(text.starts_with("lo "));
      address.set_is_link_local(text.find(" fe80:") != text.npos);
      address.set_index(++index);
    }
    if (i > 0 && !nodes[i].own.empty()) join.set_own_address(bytes_of(nodes[i].own));
    if (i > 0 && !nodes[0].own.empty()) join.set_head_address(bytes_of(nodes[0].own));
    return join;
  }

  std::vector<protocol::Join> joins_;
  std::vector<Proof> proofs_;
};

TEST(ChooseNetwork, TakesWhereTheLaunchersMet) {
  const Nodes nodes(
      {{"a", {"lo 127.0.0.1/8", "eth0 10.0.0.4/24", "eth1 10.9.0.4/24"}, "10.9.0.4"},
       {"b", {"lo 127.0.0.1/8", "eth0 10.0.0.5/24", "eth1 10.9.0.5/24"}, "10.9.0.5"}});
  EXPECT_EQ(nodes.chosen(), "10.9.0.0/24 eth1=10.9.0.4 eth1=10.9.0.5 ");
}

TEST(ChooseNetwork, SaysWhereLaunchersShareAHost) {
  const std::vector<std::string> addresses = {"lo 127.0.0.1/8", "eth0 10.0.0.4/24"};
  EXPECT_TRUE(Nodes({{"a", addresses, "10.0.0.4", "boot"}, {"a", addresses, "10.0.0.4", "boot"}})
                  .choice()
                  ->shared_host);
  EXPECT_FALSE(Nodes({{"a", {"eth0 10.0.0.4/24"}, "10.0.0.4", "boot"},
                      {"b", {"eth0 10.0.0.5/24"}, "10.0.0.5", "boot"}})
                   .choice()
                   ->shared_host);
}

TEST(ChooseNetwork, LeavesOutDecoys) {
  Nodes nodes({{"a",
                {"docker0 172.17.0.1/16", "eth0 10.0.0.4/24", "eth1 192.168.7.4/24",
                 "eth2 10.5.0.4/24 down", "eth0 fe80::4/64"}},
               {"b",
                {"docker0 172.17.0.1/16", "ens3 10.0.0.5/24", "ens4 192.168.7.5/24",
                 "eth2 10.5.0.5/24", "ens3 fe80::5/64"}},
               {"c",
                {"docker0 172.17.0.1/16", "eth0 10.0.0.6/24", "eth1 192.168.7.6/24",
                 "eth2 10.5.0.6/24", "eth0 fe80::6/64"}}});
  nodes.unreached(1, "192.168.7.5");
  EXPECT_EQ(nodes.chosen(), "10.0.0.0/24 eth0=10.0.0.4 ens3=10.0.0.5 eth0=10.0.0.6 ");
  const auto choice = nodes.choice();
  std::string reasons;
  for (const auto& [subject, why] : choice->reasons) reasons += subject + " | " + why + "\n";
  EXPECT_THAT(reasons, HasSubstr("network 10.0.0.0/24 | ens3 of b, eth0 of a and 1 other: each "
                                 "address was reached by another node\n"));
  EXPECT_THAT(reasons, HasSubstr("not used: 172.17.0.0/16 (docker0) | all nodes: several nodes "
                                 "have it\n"));
  EXPECT_THAT(reasons, HasSubstr("not used: 192.168.7.0/24 (ens4) | b: a did not reach it: no "
                                 "route to host\n"));
  EXPECT_THAT(reasons, Not(HasSubstr("fe80")));
}

TEST(ChooseNetwork, NodesMayBeInNetworksOfTheirOwn) {
  const Nodes nodes({{"a", {"eth0 10.0.1.4/24"}}, {"b", {"eth0 10.0.2.5/24"}}});
  EXPECT_EQ(nodes.chosen(), "10.0.1.0/24 10.0.2.0/24 eth0=10.0.1.4 eth0=10.0.2.5 ");
}

TEST(ChooseNetwork, TakesIpv6WhereThereIsNothingElse) {
  const Nodes nodes({{"a", {"docker0 172.17.0.1/16", "eth0 fd00::4/64", "eth0 fe80::4/64"}},
                     {"b", {"docker0 172.17.0.1/16", "ens3 fd00::5/64", "ens3 fe80::5/64"}}});
  EXPECT_EQ(nodes.chosen(), "fd00::/64 eth0=fd00::4 ens3=fd00::5 ");
  EXPECT_TRUE(nodes.choice()->ipv6);
}

TEST(ChooseNetwork, TakesIpv4WhereBothAreThere) {
  const Nodes nodes({{"a", {"eth0 fd00::4/64", "eth0 10.0.0.4/24"}, "fd00::4"},
                     {"b", {"eth0 fd00::5/64", "eth0 10.0.0.5/24"}, "fd00::5"}});
  EXPECT_FALSE(nodes.choice()->ipv6);
}

TEST(ChooseNetwork, ThePersonsWordWins) {
  const Nodes nodes({{"a", {"eth0 10.0.0.4/24", "eth1 10.9.0.4/24"}, "10.0.0.4"},
                     {"b", {"eth0 10.0.0.5/24", "ib0 10.9.0.5/24"}, "10.0.0.5"}});
  EXPECT_EQ(nodes.chosen({"10.9.0.0/16"}), "10.9.0.0/24 eth1=10.9.0.4 ib0=10.9.0.5 ");
  EXPECT_EQ(nodes.chosen({"eth1", "ib0"}), "10.9.0.0/24 eth1=10.9.0.4 ib0=10.9.0.5 ");
  EXPECT_EQ(nodes.chosen({"eth1"}),
            "no other node can use an address of b: 10.0.0.5 (eth0): network.interfaces does not "
            "name it; 10.9.0.5 (ib0): network.interfaces does not name it");
}

TEST(ChooseNetwork, RefusesWordsThatAreNeither) {
  const Nodes nodes({{"a", {"eth0 10.0.0.4/24"}}, {"b", {"eth0 10.0.0.5/24"}}});
  for (const char* word :
       {"10.0.0.0/33", "10.0.0/24", "", "eth0 eth1", "fd00::/129", "10.0.0.0/x"}) {
    const auto choice = nodes.choice({word});
    ASSERT_FALSE(choice) << word;
    EXPECT_EQ(choice.error().code, ErrorCode::kConfig);
  }
}

TEST(ChooseNetwork, NamesThePairThatCannot) {
  Nodes nodes({{"a", {"eth0 10.0.0.4/24"}},
               {"b", {"eth0 10.0.0.5/24", "docker0 172.17.0.1/16"}},
               {"c", {"eth0 10.0.0.6/24", "docker0 172.17.0.1/16"}}});
  nodes.unreached(2, "10.0.0.6");
  const auto choice = nodes.choice();
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code, ErrorCode::kResources);
  EXPECT_EQ(choice.error().message,
            "no other node can use an address of c: 10.0.0.6 (eth0): b did not reach it: no route "
            "to host; 172.17.0.1 (docker0): several nodes have it");
}

TEST(ChooseNetwork, NamesTwoThatHaveNoFamilyInCommon) {
  const Nodes nodes({{"a", {"eth0 10.0.0.4/24"}}, {"b", {"eth0 fd00::5/64"}}});
  EXPECT_EQ(nodes.chosen(), "b can be reached by IPv6 alone, and a by IPv4 alone");
}

TEST(ChooseNetwork, TwoLaunchersOfOneMachineHaveEqualAddresses) {
  const Node one{"vm", {"lo 127.0.0.1/8", "eth0 10.0.0.4/24"}, "127.0.0.1", "boot"};
  EXPECT_EQ(Nodes({one, one}).chosen(), "10.0.0.0/24 eth0=10.0.0.4 eth0=10.0.0.4 ");
  const Node alone{"vm", {"lo 127.0.0.1/8"}, "127.0.0.1", "boot"};
  EXPECT_EQ(Nodes({alone, alone}).chosen(), "127.0.0.0/8 lo=127.0.0.1 lo=127.0.0.1 ");
  const Node elsewhere{"vm", {"lo 127.0.0.1/8"}, "", "another boot"};
  EXPECT_THAT(Nodes({alone, elsewhere}).chosen(),
              HasSubstr("vm (node rank 0): it has none but loopback"));
}

TEST(ChooseNetwork, OddAddressesAreNoCandidates) {
  protocol::Join join;
  join.set_hostname("a");
  join.add_addresses()->set_address("abc");
  const std::vector<const protocol::Join*> joins{&join, &join};
  EXPECT_FALSE(choose_network(joins, {{7, -3, "", false, ""}, {0, 1, "x", true, ""}}, {}));
}

}  // namespace
}  // namespace muster::cluster
