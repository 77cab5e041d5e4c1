#include "launcher/topology/inventory_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launcher/topology/discover.h"

namespace muster::topology {
namespace {

using ::testing::HasSubstr;

NodeInventory restricted() {
  auto node = discover({std::string(MUSTER_TEST_DATA) + "/topologies/cpuset-2x4.xml"});
  EXPECT_TRUE(node);
  return node ? *node : NodeInventory{};
}

TEST(InventoryText, ShowsANodePerLineAndWhatIsNotOurs) {
  NodeInventory node = restricted();
  node.cpu_quota = 2.5;
  EXPECT_EQ(topology_text(node),
            "cpuset-2x4: 5 cores, 7 hardware threads, 2 NUMA nodes, 2 packages (cpuset-2x4.xml)\n"
            "  NUMA  package    memory  cores  CPUs\n"
            "     0        0  29.8 GiB      2  1-2,9-10\n"
            "     1        1  29.8 GiB      3  13-15\n"
            "  not ours to use: 9 of 16 hardware threads (cpuset or affinity mask)\n"
            "  cgroup CPU quota: 2.50 CPUs\n");
}

TEST(InventoryText, ShowsUnknownLocalityAsUnknown) {
  NodeInventory node;
  node.hostname = "vm";
  node.source = "test";
  node.cores = {{0, kUnknown, kUnknown, kUnknown, {0}}};
  node.allowed = node.present = {0};
  EXPECT_THAT(topology_text(node), HasSubstr("packages unknown"));
  EXPECT_THAT(topology_text(node), HasSubstr("     ?        ?       ?      1  0\n"));
  const auto json = nlohmann::json::parse(topology_json(node));
  EXPECT_TRUE(json["cores"][0]["numa_node"].is_null());
  EXPECT_TRUE(json["cpu_quota"].is_null());
}

TEST(InventoryJson, HoldsSetsAsLinuxLists) {
  const auto json = nlohmann::json::parse(topology_json(restricted()));
  EXPECT_EQ(json["allowed"], "1-2,9-10,13-15");
  EXPECT_EQ(json["cores"].size(), 5U);
  EXPECT_EQ(json["cores"][0]["cpus"], "1,9");
  EXPECT_EQ(json["numa_nodes"][1]["cpus"], "13-15");
}

}  // namespace
}  // namespace muster::topology
