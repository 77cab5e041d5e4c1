#include "launcher/cluster/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

protocol::Join node(const std::string& hostname,
                    const std::map<std::string, std::string>& facts = {}) {
  protocol::Join join;
  join.set_hostname(hostname);
  join.set_boot_id("boot of " + hostname);
  join.set_software("muster 0.6.0");
  for (const auto& [name, value] : facts) {
    join.add_facts()->set_name(name);
    join.mutable_facts(join.facts_size() - 1)->set_value(value);
  }
  return join;
}

FactTable compared(const std::vector<protocol::Join>& joins) {
  std::vector<const protocol::Join*> all;
  for (const auto& join : joins) all.push_back(&join);
  return compare_facts(all);
}

TEST(CompareFacts, SaysNothingOfEqualNodes) {
  const FactTable table =
      compared({node("a", {{kConfigFact, "1"}}), node("b", {{kConfigFact, "1"}})});
  EXPECT_EQ(table.text, "");
  EXPECT_FALSE(table.fatal);
}

TEST(CompareFacts, AnotherConfigIsFatal) {
  const FactTable table =
      compared({node("a", {{kConfigFact, "12ab"}}), node("b", {{kConfigFact, "12ab"}}),
                node("c", {{kConfigFact, "99ff"}})});
  EXPECT_TRUE(table.fatal);
  EXPECT_EQ(table.exit_code, 65);
  EXPECT_EQ(table.text,
            "the nodes differ:\n"
            "  what    value  nodes\n"
            "  config  12ab   a and 1 other  fatal\n"
            "  config  99ff   c              fatal\n"
            "  hint: start all nodes with the same config, options and --set values\n");
  EXPECT_THAT(table.refusals, ElementsAre(Pair(2, "config is 99ff here, and 12ab on a")));
}

struct Case {
  std::string what;
  std::string first;
  std::string second;
  bool fatal;
};

class Differences : public ::testing::TestWithParam<Case> {};

TEST_P(Differences, AreFatalByTheirRules) {
  const auto& [what, first, second, fatal] = GetParam();
  const FactTable table = compared({node("a", {{what, first}}), node("b", {{what, second}})});
  EXPECT_EQ(table.fatal, fatal) << table.text;
  EXPECT_THAT(table.text, HasSubstr(what));
  EXPECT_EQ(table.exit_code, !fatal ? 0 : what == kSourceFact ? 65 : 69);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, Differences,
    ::testing::Values(Case{kSourceFact, "1", "2", true}, Case{kMpiFact, "4.1.4", "4.1.6", false},
                      Case{kMpiFact, "4.1.4", "5.0.1", true}, Case{kMpiFact, "4.1.4", "", true},
                      Case{kInterpreterFact, "Python 3.11.2", "Python 3.11.9", false},
                      Case{kInterpreterFact, "Python 3.11.2", "Python 3.12.0", true},
                      Case{kNcclFact, "2.18.3", "2.21.5", false}, Case{kGpuFact, "8", "4", false},
                      Case{kCpuFact, "16 cores", "8 cores", false},
                      Case{"kernel", "6.1", "6.2", false}));

TEST(CompareFacts, ANodeWithoutTheSourceGetsIt) {
  EXPECT_EQ(compared({node("a", {{kSourceFact, "1"}}), node("b", {{kSourceFact, ""}})}).text, "");
  EXPECT_EQ(compared({node("a", {{kSourceFact, "1"}}), node("b")}).text, "");
}

TEST(CompareFacts, AnotherMusterIsFatal) {
  protocol::Join old = node("b");
  old.set_software("muster 0.5.0");
  const FactTable table = compared({node("a"), old});
  EXPECT_TRUE(table.fatal);
  EXPECT_THAT(table.text, HasSubstr("install the same Muster on all nodes"));
}

TEST(CompareFacts, EqualHostNamesAreFatalWithMpi) {
  protocol::Join other = node("vm", {{kMpiFact, "4.1.4"}});
  other.set_boot_id("another machine");
  const FactTable mpi = compared({node("vm", {{kMpiFact, "4.1.4"}}), other});
  EXPECT_TRUE(mpi.fatal);
  EXPECT_EQ(mpi.exit_code, 69);
  EXPECT_THAT(mpi.text, HasSubstr("UTS namespace"));
  EXPECT_THAT(mpi.text, HasSubstr("vm (node rank 0) and 1 other"));
  protocol::Join direct = node("vm");
  direct.set_boot_id("another machine");
  const FactTable warned = compared({node("vm"), direct});
  EXPECT_FALSE(warned.fatal);
  EXPECT_THAT(warned.text, HasSubstr("warning"));
}

TEST(CompareFacts, TwoLaunchersOfOneMachineAreNoDifference) {
  EXPECT_EQ(compared({node("vm", {{kMpiFact, "4.1.4"}}), node("vm", {{kMpiFact, "4.1.4"}})}).text,
            "");
}

}  // namespace
}  // namespace muster::cluster
