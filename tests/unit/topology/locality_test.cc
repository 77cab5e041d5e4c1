#include "launcher/topology/locality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NumaNode node(int os_index, const CpuSet& cpus, int package) {
  return {.os_index = os_index, .cpus = cpus, .present_cpus = cpus, .package = package};
}

NodeInventory two_packages() {
  NodeInventory inventory;
  inventory.numa_nodes = {node(0, {0, 1}, 0), node(1, {2, 3}, 1)};
  return inventory;
}

Gpu gpu(int ordinal, const std::string& bus_id) {
  return {.visible_ordinal = ordinal,
          .uuid = "GPU-" + std::to_string(ordinal),
          .bus_id = bus_id,
          .model = ""};
}

Nic nic(const std::string& name, const std::string& bus_id) {
  return {.name = name, .bus_id = bus_id};
}

PciDevice in_sysfs(const std::string& bus_id, int numa_node) {
  return {.bus_id = bus_id,
          .locality = {numa_node, kUnknown,
                       numa_node == kUnknown ? LocalitySource::kNobody : LocalitySource::kSysfs}};
}

constexpr const char* kBusId = "0000:07:00.0";

TEST(SettleLocality, BelievesTheMostTrustedOne) {
  struct Case {
    std::map<std::string, int> override_gpus;
    std::map<std::string, int> nccl_file;
    int sysfs;
    int expected;
    LocalitySource source;
  };
  const Case cases[] = {
      {{{kBusId, 1}}, {{kBusId, 0}}, 0, 1, LocalitySource::kOverride},
      {{{"GPU-0", 1}}, {{kBusId, 0}}, 0, 1, LocalitySource::kOverride},
      {{}, {{kBusId, 1}}, 0, 1, LocalitySource::kNcclFile},
      {{}, {}, 1, 1, LocalitySource::kSysfs},
      {{{"0000:08:00.0", 1}}, {{"0000:08:00.0", 1}}, 0, 0, LocalitySource::kSysfs},
      {{}, {}, kUnknown, kUnknown, LocalitySource::kNobody},
  };
  for (const Case& c : cases) {
    NodeInventory inventory = two_packages();
    inventory.gpus = {gpu(0, kBusId)};
    settle_locality(inventory, {c.override_gpus, {}, c.nccl_file, {in_sysfs(kBusId, c.sysfs)}});
    EXPECT_EQ(inventory.gpus[0].numa_node, c.expected);
    EXPECT_EQ(inventory.gpus[0].package, c.expected);
    EXPECT_EQ(inventory.gpus[0].locality_source, c.source);
  }
}

TEST(SettleLocality, AMachineWithOneNodeLeavesNoQuestion) {
  NodeInventory inventory;
  inventory.numa_nodes = {node(2, {0, 1}, 5), node(3, {}, kUnknown)};  // and a GPU's memory
  inventory.gpus = {gpu(0, kBusId)};
  inventory.nics = {nic("eth0", "")};
  settle_locality(inventory, {{}, {}, {}, {in_sysfs(kBusId, kUnknown)}});
  EXPECT_EQ(inventory.gpus[0].numa_node, 2);
  EXPECT_EQ(inventory.gpus[0].package, 5);
  EXPECT_EQ(inventory.gpus[0].locality_source, LocalitySource::kOnlyNode);
  EXPECT_EQ(inventory.nics[0].numa_node, 2);
  EXPECT_THAT(inventory.notes, IsEmpty());
}

TEST(SettleLocality, MemoryWithoutCpusIsNoPlaceForADevice) {
  NodeInventory inventory = two_packages();
  inventory.numa_nodes.push_back(node(18, {}, kUnknown));
  inventory.gpus = {gpu(0, kBusId)};
  settle_locality(inventory, {{{kBusId, 18}}, {}, {}, {in_sysfs(kBusId, 1)}});
  EXPECT_EQ(inventory.gpus[0].numa_node, 1);
  ASSERT_EQ(inventory.notes.size(), 1U);
  EXPECT_THAT(inventory.notes[0].text,
              HasSubstr("on NUMA node 18 by override file, and that node is memory without CPUs"));
}

TEST(SettleLocality, UnknownStaysUnknownAndIsSaid) {
  NodeInventory inventory = two_packages();
  inventory.gpus = {gpu(0, "0001:00:00.0"), gpu(1, "0002:00:00.0")};
  inventory.nics = {nic("mlx5_0", "0101:00:00.0")};
  settle_locality(inventory, {});
  EXPECT_EQ(inventory.gpus[0].numa_node, kUnknown);
  ASSERT_EQ(inventory.notes.size(), 2U);
  EXPECT_EQ(inventory.notes[0].kind, Note::Kind::kWarning);
  EXPECT_THAT(inventory.notes[0].text,
              HasSubstr("2 GPUs are near (0001:00:00.0, 0002:00:00.0): their cores"));
  EXPECT_THAT(inventory.notes[0].hint, HasSubstr("MUSTER_TOPOLOGY_OVERRIDE"));
  EXPECT_EQ(inventory.notes[1].kind, Note::Kind::kInfo);
  EXPECT_THAT(inventory.notes[1].text, HasSubstr("mlx5_0"));
}

TEST(SettleLocality, KeepsAPackageThatIsKnownAlone) {
  NodeInventory inventory = two_packages();
  inventory.gpus = {gpu(0, kBusId)};
  settle_locality(inventory, {{}, {}, {}, {{.bus_id = kBusId, .locality = {kUnknown, 1}}}});
  EXPECT_EQ(inventory.gpus[0].numa_node, kUnknown);
  EXPECT_EQ(inventory.gpus[0].package, 1);
}

TEST(SettleLocality, ANodeThatTheMachineLacksIsNotBelieved) {
  NodeInventory inventory = two_packages();
  inventory.gpus = {gpu(0, kBusId)};
  inventory.nics = {nic("eth0", kBusId)};
  settle_locality(inventory, {{{kBusId, 7}}, {{"eth0", 9}}, {}, {in_sysfs(kBusId, 1)}});
  EXPECT_EQ(inventory.gpus[0].numa_node, 1);
  EXPECT_EQ(inventory.gpus[0].locality_source, LocalitySource::kSysfs);
  EXPECT_EQ(inventory.nics[0].numa_node, 1);
  ASSERT_EQ(inventory.notes.size(), 2U);
  EXPECT_THAT(inventory.notes[0].text,
              HasSubstr("GPU 0000:07:00.0 is on NUMA node 7 by override file"));
  EXPECT_THAT(inventory.notes[1].text, HasSubstr("eth0 is on NUMA node 9"));
}

TEST(SettleLocality, InstancesOfAPartitionedGpuAreWhereItIs) {
  NodeInventory inventory = two_packages();
  inventory.gpus = {gpu(0, kBusId), gpu(1, kBusId)};
  inventory.gpus[0].parent_uuid = inventory.gpus[1].parent_uuid = "GPU-whole";
  settle_locality(inventory, {{}, {}, {}, {in_sysfs(kBusId, 1)}});
  EXPECT_EQ(inventory.gpus[0].numa_node, 1);
  EXPECT_EQ(inventory.gpus[1].numa_node, 1);
  settle_locality(inventory, {{{"GPU-whole", 0}}, {}, {}, {in_sysfs(kBusId, 1)}});
  EXPECT_EQ(inventory.gpus[0].numa_node, 0);
  EXPECT_EQ(inventory.gpus[1].numa_node, 0);
}

TEST(SettleLocality, FillsTheBridgesAboveAndHiddenGpus) {
  NodeInventory inventory = two_packages();
  inventory.hidden_gpus = {gpu(kUnknown, kBusId)};
  inventory.nics = {nic("eth0", kBusId)};
  inventory.nics[0].upstream = {"0000:00:03.0"};
  PciDevice device = in_sysfs(kBusId, 1);
  device.upstream = {"0000:00:01.0", "0000:01:00.0"};
  settle_locality(inventory, {{}, {}, {}, {device}});
  EXPECT_EQ(inventory.hidden_gpus[0].numa_node, 1);
  EXPECT_THAT(inventory.hidden_gpus[0].upstream, ElementsAre("0000:00:01.0", "0000:01:00.0"));
  EXPECT_THAT(inventory.nics[0].upstream, ElementsAre("0000:00:03.0")) << "its own knowledge";
}

TEST(SettleLocality, SaysWhichGpusACpusetKeepsFromTheirCores) {
  NodeInventory inventory = two_packages();
  inventory.numa_nodes[1].cpus = {};
  inventory.gpus = {gpu(0, "0000:07:00.0"), gpu(1, "0000:87:00.0"), gpu(2, "0000:88:00.0")};
  settle_locality(inventory, {{},
                              {},
                              {},
                              {in_sysfs("0000:07:00.0", 0), in_sysfs("0000:87:00.0", 1),
                               in_sysfs("0000:88:00.0", 1)}});
  EXPECT_EQ(inventory.gpus[1].numa_node, 1) << "where it is, not where we may be";
  ASSERT_EQ(inventory.notes.size(), 1U);
  EXPECT_THAT(inventory.notes[0].text, HasSubstr("GPU 1, 2 are on NUMA node 1"));
}

}  // namespace
}  // namespace muster::topology
