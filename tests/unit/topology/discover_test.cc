#include "launcher/topology/discover.h"

#include <cstdlib>
#include <fstream>
#include <sched.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"

namespace muster::topology {
namespace {

using ::testing::HasSubstr;

NodeInventory from_file(const std::string& name) {
  auto inventory = discover({std::string(MUSTER_TEST_DATA) + "/topologies/" + name + ".xml"});
  EXPECT_TRUE(inventory) << inventory.error().message;
  return inventory ? *inventory : NodeInventory{};
}

Error error_of(const std::string& xml) {
  const auto directory = TemporaryDirectory::create(testing::TempDir(), "muster-topology-");
  EXPECT_TRUE(directory);
  const std::string file = (directory->path() / "node.xml").string();
  std::ofstream(file) << xml;
  const auto inventory = discover({file});
  EXPECT_FALSE(inventory);
  return inventory ? Error{} : inventory.error();
}

const NumaNode& numa_node(const NodeInventory& inventory, std::size_t index) {
  return inventory.numa_nodes.at(index);
}

TEST(Discover, ALeftoverVariableMakesNoOtherMachineOfThisOne) {
  const auto before = discover();
  ASSERT_TRUE(before);
  ::setenv("HWLOC_SYNTHETIC", "numa:7 core:3 pu:1", 1);
  ::setenv("HWLOC_XMLFILE", MUSTER_TEST_DATA "/topologies/sparse-ids.xml", 1);
  const auto after = discover();
  EXPECT_STREQ(std::getenv("HWLOC_SYNTHETIC"), "numa:7 core:3 pu:1");
  ::unsetenv("HWLOC_SYNTHETIC");
  ::unsetenv("HWLOC_XMLFILE");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->present, before->present);
  EXPECT_EQ(after->numa_nodes.size(), before->numa_nodes.size());
}

TEST(Discover, GroupsHardwareThreadsIntoCores) {
  const NodeInventory node = from_file("laptop-4c8t");
  ASSERT_EQ(node.cores.size(), 4U);
  EXPECT_EQ(node.cores[1].pus, (CpuSet{1, 5}));
  EXPECT_EQ(node.package_count, 1);
}

TEST(Discover, KeepsCoresThatHaveOneHardwareThread) {
  const NodeInventory node = from_file("server-2x16");
  EXPECT_EQ(node.cores.size(), 32U);
  EXPECT_EQ(node.cores[16].package, 1);
  EXPECT_EQ(node.cores[16].numa_node, 1);
}

TEST(Discover, TellsL3CachesApart) {
  const NodeInventory node = from_file("numa-4x6");
  EXPECT_EQ(node.cores[0].l3, node.cores[2].l3);
  EXPECT_NE(node.cores[2].l3, node.cores[3].l3);
}

TEST(Discover, UsesTheKernelsNumbersWhenTheyAreSparse) {
  const NodeInventory node = from_file("sparse-ids");
  EXPECT_EQ(node.allowed.to_string(), "8,12,16,20,40,44,48,52");
  EXPECT_EQ(numa_node(node, 1).os_index, 8);
  EXPECT_EQ(node.cores[4].numa_node, 8);
  EXPECT_EQ(node.cores[4].logical_index, 4);
}

TEST(Discover, KeepsTheAllowedThreadsOfAPartlyAllowedCore) {
  const NodeInventory node = from_file("cpuset-2x4");
  EXPECT_EQ(node.allowed.to_string(), "1-2,9-10,13-15");
  EXPECT_EQ(node.present.count(), 16);
  ASSERT_EQ(node.cores.size(), 5U);
  EXPECT_EQ(node.cores[0].pus, (CpuSet{1, 9}));
  EXPECT_EQ(node.cores[0].logical_index, 1) << "counted over the whole machine";
  EXPECT_EQ(node.cores[2].pus, (CpuSet{13})) << "its sibling 5 is not allowed";
}

TEST(Discover, ListsANumaNodeWithoutCpusAndGivesItNoCore) {
  const NodeInventory node = from_file("cpuless-numa");
  ASSERT_EQ(node.numa_nodes.size(), 2U);
  EXPECT_TRUE(numa_node(node, 1).cpus.empty());
  EXPECT_GT(numa_node(node, 1).memory_bytes, 0U);
  for (const Core& core : node.cores) EXPECT_EQ(core.numa_node, 0);
}

TEST(Discover, LeavesOfflineCpusOut) {
  const NodeInventory node = from_file("offline-2x4");
  EXPECT_EQ(node.present.to_string(), "0,2-5,7");
  EXPECT_EQ(node.cores.size(), 6U);
}

TEST(Discover, TakesTheHostNameFromTheFile) {
  const NodeInventory node = from_file("odd-3x5");
  EXPECT_EQ(node.hostname, "odd-3x5");
  EXPECT_EQ(node.source, "odd-3x5.xml");
}

TEST(Discover, MakesAMachineOfADescription) {
  const auto node = discover({"synthetic:pack:2 [numa(memory=32GB)] core:4 pu:2"});
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(node->hostname, "synthetic");
  EXPECT_EQ(node->cores.size(), 8U);
  ASSERT_EQ(node->numa_nodes.size(), 2U);
  EXPECT_EQ(node->numa_nodes[1].package, 1);
  const auto garbled = discover({"synthetic:frog:2"});
  ASSERT_FALSE(garbled);
  EXPECT_EQ(garbled.error().code, ErrorCode::kResources);
  EXPECT_THAT(garbled.error().message, HasSubstr("\"frog:2\""));
}

TEST(Discover, AgreesWithTheAffinityMaskWhenLive) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
  const auto node = discover();
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(node->allowed.count(), CPU_COUNT(&mask));
  EXPECT_FALSE(node->hostname.empty());
  CpuSet of_cores;
  for (const Core& core : node->cores) of_cores = of_cores.united(core.pus);
  EXPECT_EQ(of_cores, node->allowed);
}

TEST(Discover, StaysInsideANarrowerAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  std::size_t cpu = 0;
  while (!CPU_ISSET(cpu, &before)) ++cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const auto node = discover();
  ::sched_setaffinity(0, sizeof before, &before);
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(node->allowed, CpuSet{static_cast<int>(cpu)});
  EXPECT_EQ(node->cores.size(), 1U);
}

TEST(Discover, LeavesTheCallersPluginPathAsItWas) {
  ::setenv("HWLOC_PLUGINS_PATH", "/some/where", 1);
  ASSERT_TRUE(discover());
  EXPECT_STREQ(std::getenv("HWLOC_PLUGINS_PATH"), "/some/where");
  ::unsetenv("HWLOC_PLUGINS_PATH");
  ASSERT_TRUE(discover());
  EXPECT_EQ(std::getenv("HWLOC_PLUGINS_PATH"), nullptr);
}

TEST(Discover, RefusesXmlOfHwloc3WithTheWayToExportIt) {
  const Error error =
      error_of("<?xml version=\"1.0\"?>\n<topology version=\"3.0\">\n</topology>\n");
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_THAT(error.message, HasSubstr("written by hwloc 3"));
  EXPECT_THAT(error.hint, HasSubstr("--export-xml-flags v2"));
}

TEST(Discover, RefusesAFileThatIsNoTopology) {
  EXPECT_THAT(error_of("node_count: 2\n").message, HasSubstr("is not an hwloc XML file"));
  EXPECT_THAT(error_of("").message, HasSubstr("is not an hwloc XML file"));
}

TEST(Discover, RefusesADamagedFile) {
  const auto whole = read_file(std::string(MUSTER_TEST_DATA) + "/topologies/laptop-4c8t.xml");
  ASSERT_TRUE(whole);
  const Error error = error_of(whole->substr(0, whole->size() / 2));
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_THAT(error.message, HasSubstr("damaged"));
}

TEST(Discover, NamesAFileThatIsNotThere) {
  const auto node = discover({"/nowhere/node.xml"});
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().code, ErrorCode::kResources);
  EXPECT_THAT(node.error().message, HasSubstr("/nowhere/node.xml"));
  EXPECT_THAT(node.error().message, HasSubstr("No such file"));
}

}  // namespace
}  // namespace muster::topology
