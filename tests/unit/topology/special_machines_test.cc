// One test for each kind of machine on which devices, memory or CPUs are not what they seem: the
// whole of discovery on a recorded /proc and /sys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/topology/discover.h"
#include "launcher/topology/numa_check.h"
#include "tests/support/fake_machine.h"
#include "tests/support/scratch.h"

namespace muster::topology {
namespace {

using test::FakeMachine;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

class SpecialMachines : public test::ScratchTest {
 protected:
  // One on which AMD's GPUs can be used, so that no driver's library has a say.
  FakeMachine machine() const {
    FakeMachine node(scratch());
    node.write("dev/kfd", "");
    return node;
  }

  NodeInventory discovered(std::map<std::string, std::string> environment = {}) const {
    const auto node = discover(
        {.xml_file = "", .environment = std::move(environment), .root = scratch().string()});
    EXPECT_TRUE(node) << node.error().message;
    return node ? *node : NodeInventory{};
  }

  static testing::Matcher<std::vector<Note>> says(const std::string& text) {
    return Contains(Field(&Note::text, HasSubstr(text)));
  }
};

TEST_F(SpecialMachines, AnOrdinaryOneHasNothingToSay) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.status("0-3", "0-1");
  const NodeInventory inventory = discovered();
  EXPECT_EQ(inventory.allowed.to_string(), "0-3");
  ASSERT_EQ(inventory.cores.size(), 4U);
  EXPECT_EQ(inventory.cores[2].package, 1);
  EXPECT_EQ(inventory.cores[2].numa_node, 1);
  EXPECT_THAT(inventory.notes, testing::IsEmpty());
}

// Hyper-V: a PCI domain for each device, no bridges, no NUMA node.
TEST_F(SpecialMachines, AzureWithoutNumaNodesOfDevices) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  for (const char* bus_id : {"0001:00:00.0", "0002:00:00.0"}) {
    node.add({.bus_id = bus_id, .device_class = 0x038000, .vendor = 0x1002});
  }
  const NodeInventory inventory = discovered();
  ASSERT_EQ(inventory.gpus.size(), 2U);
  EXPECT_EQ(inventory.gpus[1].bus_id, "0002:00:00.0");
  EXPECT_EQ(inventory.gpus[1].numa_node, kUnknown);
  EXPECT_EQ(inventory.gpus[1].locality_source, LocalitySource::kNobody);
  EXPECT_THAT(inventory.notes, says("nobody tells which NUMA node 2 GPUs are near"));
}

TEST_F(SpecialMachines, MinusOneIsNodeZeroOnlyWhereThereIsNoOther) {
  const FakeMachine node = machine();
  node.cpus(1, 1, 4);
  node.add({.bus_id = "0000:07:00.0", .device_class = 0x038000, .vendor = 0x1002});
  const NodeInventory inventory = discovered();
  ASSERT_EQ(inventory.gpus.size(), 1U);
  EXPECT_EQ(inventory.gpus[0].numa_node, 0);
  EXPECT_EQ(inventory.gpus[0].locality_source, LocalitySource::kOnlyNode);
}

// hwloc's variable for native discovery of devices, which is not what finds them here.
TEST_F(SpecialMachines, HwlocsPciLocalityIsNotReadAndSaysSo) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.add({.bus_id = "0000:07:00.0", .device_class = 0x038000, .vendor = 0x1002});
  const NodeInventory inventory = discovered({{"HWLOC_PCI_LOCALITY", "0000:07-07 0x3"}});
  EXPECT_EQ(inventory.gpus.at(0).numa_node, kUnknown);
  EXPECT_THAT(inventory.notes, says("HWLOC_PCI_LOCALITY is not read"));
}

TEST_F(SpecialMachines, MemoryWithoutCpusIsAGpusOrCxl) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.add_node(2, "");
  node.write("sys/devices/system/node/online", "0-2\n");
  const NodeInventory inventory = discovered();
  ASSERT_EQ(inventory.numa_nodes.size(), 3U);
  EXPECT_TRUE(inventory.numa_nodes[2].present_cpus.empty());
  EXPECT_THAT(inventory.notes, says("NUMA node 2 without CPUs"));
  for (const Core& core : inventory.cores) EXPECT_NE(core.numa_node, 2);
}

// open-mpi/hwloc#712: nodes that cut through packages.
TEST_F(SpecialMachines, ABrokenDescriptionFollowsTheKernelsNodes) {
  const FakeMachine node = machine();
  node.online("0-7", "0-1");
  for (int cpu = 0; cpu < 8; ++cpu) node.add_cpu(cpu, cpu / 4, cpu % 4);
  node.add_node(0, "0-1,4-5");
  node.add_node(1, "2-3,6-7");
  const NodeInventory inventory = discovered();
  ASSERT_EQ(inventory.numa_nodes.size(), 2U);
  EXPECT_EQ(inventory.numa_nodes[0].cpus.to_string(), "0-1,4-5");
  EXPECT_EQ(inventory.numa_nodes[1].cpus.to_string(), "2-3,6-7");
  ASSERT_EQ(inventory.cores.size(), 8U);
  for (const Core& core : inventory.cores) {
    const int cpu = core.pus.to_vector().front();
    EXPECT_EQ(core.numa_node, cpu / 2 % 2) << cpu;
    EXPECT_EQ(core.package, cpu / 4) << cpu;
  }
  EXPECT_THAT(inventory.notes, says("NUMA nodes 0, 1 cut through packages"));
}

TEST_F(SpecialMachines, ACoreOnTwoNodesIsOneCoreAndSaid) {
  const FakeMachine node = machine();
  node.online("0-3", "0-1");
  for (int cpu = 0; cpu < 4; ++cpu) {
    node.add_cpu(cpu, 0, cpu % 2, cpu % 2 == 0 ? "0,2" : "1,3");
  }
  node.add_node(0, "0-1");
  node.add_node(1, "2-3");
  const NodeInventory inventory = discovered();
  ASSERT_EQ(inventory.cores.size(), 2U);
  EXPECT_EQ(inventory.cores[0].pus.to_string(), "0,2");
  EXPECT_EQ(inventory.cores[0].numa_node, 0);
  EXPECT_THAT(inventory.notes, says("one core are on several NUMA nodes: CPUs 0,2; 1,3"));
}

TEST_F(SpecialMachines, AnAffinityMaskAloneIsKept) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.status("1,3", "0-1");
  const NodeInventory inventory = discovered();
  EXPECT_EQ(inventory.allowed.to_string(), "1,3");
  EXPECT_EQ(inventory.present.to_string(), "0-3");
  ASSERT_EQ(inventory.cores.size(), 2U);
  EXPECT_EQ(inventory.cores[0].logical_index, 1);
}

// A cpuset on one node, GPUs on the other: what is there is told, also what is out of reach.
TEST_F(SpecialMachines, AGpuWhoseCoresACpusetKeepsFromUs) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.status("0-1", "0");
  node.add({.bus_id = "0000:87:00.0", .device_class = 0x038000, .vendor = 0x1002, .numa_node = 1});
  const NodeInventory inventory = discovered();
  ASSERT_EQ(inventory.gpus.size(), 1U);
  EXPECT_EQ(inventory.gpus[0].numa_node, 1);
  EXPECT_TRUE(inventory.numa_nodes.at(1).cpus.empty());
  EXPECT_EQ(inventory.numa_nodes[1].present_cpus.to_string(), "2-3");
  EXPECT_FALSE(inventory.numa_nodes[1].memory_allowed);
  EXPECT_THAT(inventory.notes, says("NUMA node 1, of which this process may use no CPU"));
}

TEST_F(SpecialMachines, CpusOfWhoseMemoryNoneIsAllowed) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.status("0-3", "0");
  const NodeInventory inventory = discovered();
  EXPECT_FALSE(inventory.numa_nodes.at(1).memory_allowed);
  EXPECT_THAT(inventory.notes, says("CPUs of NUMA node 1, but none of the memory there"));
}

TEST_F(SpecialMachines, AQuotaNarrowsThreadsAndNoCores) {
  const FakeMachine node = machine();
  node.cpus(1, 1, 4);
  node.write("proc/self/cgroup", "0::/pod\n");
  node.write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
  const NodeInventory inventory = discovered();
  EXPECT_EQ(inventory.cpu_quota, 1.5);
  EXPECT_EQ(inventory.cores.size(), 4U);
  EXPECT_THAT(inventory.notes, says("the time of 1.5 of 4 CPUs"));
}

TEST_F(SpecialMachines, OfflineCpusAreNotThere) {
  const FakeMachine node = machine();
  node.online("0,2-3", "0");
  for (const int cpu : {0, 2, 3}) node.add_cpu(cpu, 0, cpu);
  node.add_node(0, "0,2-3");
  const NodeInventory inventory = discovered();
  EXPECT_EQ(inventory.present.to_string(), "0,2-3");
  EXPECT_EQ(inventory.cores.size(), 3U);
}

TEST_F(SpecialMachines, DistancesAreTheKernels) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.add_node(0, "0-1", "10 32");
  node.add_node(1, "2-3", "21 10");
  const NodeInventory inventory = discovered();
  EXPECT_THAT(inventory.numa_nodes.at(0).distances, ElementsAre(10, 32));
  EXPECT_THAT(inventory.numa_nodes.at(1).distances, ElementsAre(21, 10));
}

TEST_F(SpecialMachines, TheUsersFileHasTheLastWord) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.add({.bus_id = "0000:07:00.0", .device_class = 0x038000, .vendor = 0x1002, .numa_node = 0});
  node.add({.bus_id = "0000:08:00.0", .device_class = 0x038000, .vendor = 0x1002, .numa_node = 0});
  const std::string file =
      write("override.yaml", "gpus:\n  \"0000:08:00.0\": {numa_node: 1}\n").string();
  const auto found = discover({.xml_file = "", .override_file = file, .root = scratch().string()});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->gpus.at(0).locality_source, LocalitySource::kSysfs);
  EXPECT_EQ(found->gpus.at(1).numa_node, 1);
  EXPECT_EQ(found->gpus.at(1).package, 1);
  EXPECT_EQ(found->gpus.at(1).locality_source, LocalitySource::kOverride);
}

TEST_F(SpecialMachines, AnOverrideFileThatIsWrongIsAnError) {
  machine().cpus(2, 1, 2);
  const std::string file = write("override.yaml", "gpus: {frog").string();
  const auto garbled =
      discover({.xml_file = "", .override_file = file, .root = scratch().string()});
  ASSERT_FALSE(garbled);
  EXPECT_EQ(garbled.error().code, ErrorCode::kConfig);
  const auto missing =
      discover({.xml_file = "", .override_file = "/nowhere.yaml", .root = scratch().string()});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("cannot use the override file /nowhere.yaml"));
}

// SKU files of flat virtual machines: masks and GPUs as the kernel has them, NUMA nodes beside.
TEST_F(SpecialMachines, AnNcclFileThatHoldsTellsWhereTheKernelDoesNot) {
  const FakeMachine node = machine();
  node.cpus(2, 1, 2);
  node.add({.bus_id = "0001:00:00.0", .device_class = 0x038000, .vendor = 0x1002});
  const auto xml = [](const char* second_mask) {
    return std::string(
               "<system version=\"1\">\n"
               " <cpu numaid=\"0\" affinity=\"00000003\" arch=\"x86_64\">\n </cpu>\n"
               " <cpu numaid=\"1\" affinity=\"") +
           second_mask +
           "\" arch=\"x86_64\">\n"
           "  <pci busid=\"0001:00:00.0\" class=\"0x030200\"/>\n </cpu>\n</system>\n";
  };
  node.write("topo.xml", xml("0000000c"));
  const NodeInventory holds = discovered({{"NCCL_TOPO_FILE", "/topo.xml"}});
  ASSERT_TRUE(holds.nccl_file);
  EXPECT_TRUE(holds.nccl_file->used) << holds.nccl_file->why_not;
  EXPECT_EQ(holds.gpus.at(0).numa_node, 1);
  EXPECT_EQ(holds.gpus.at(0).locality_source, LocalitySource::kNcclFile);
  node.write("topo.xml", xml("00000006"));
  const NodeInventory differs = discovered({{"NCCL_TOPO_FILE", "/topo.xml"}});
  ASSERT_TRUE(differs.nccl_file);
  EXPECT_FALSE(differs.nccl_file->used);
  EXPECT_EQ(differs.gpus.at(0).numa_node, kUnknown);
}

TEST_F(SpecialMachines, NothingReadableIsNoCrash) {
  const auto node = discover({.xml_file = "", .root = (scratch() / "none").string()});
  EXPECT_TRUE(!node || !node->cores.empty());
}

}  // namespace
}  // namespace muster::topology
