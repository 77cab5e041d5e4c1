#include "launcher/topology/sysfs_pci.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_machine.h"
#include "tests/support/scratch.h"

namespace muster::topology {
namespace {

using test::FakeMachine;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SysfsPci : public test::ScratchTest {
 protected:
  FakeMachine machine() const { return FakeMachine(scratch()); }
};

TEST_F(SysfsPci, ReadsGpusAndNicsAndNothingElse) {
  const FakeMachine node = machine();
  node.add({.bus_id = "0000:00:1f.2", .device_class = 0x010601, .vendor = 0x8086});
  node.add({.bus_id = "0000:0f:00.0", .numa_node = 3});
  node.add({.bus_id = "0000:07:00.0", .numa_node = 3});
  node.add({.bus_id = "0000:0c:00.0",
            .device_class = 0x020700,
            .vendor = 0x15b3,
            .numa_node = 1,
            .names = {"net/ib0", "infiniband/mlx5_0"}});
  const auto devices = sysfs_pci_devices(node.root());
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_EQ(devices[0].bus_id, "0000:07:00.0");
  EXPECT_EQ(devices[0].device_class, 0x0302);
  EXPECT_EQ(devices[0].vendor, 0x10de);
  EXPECT_EQ(devices[0].device, 0x20b0);
  EXPECT_EQ(devices[0].locality, (Locality{3, kUnknown, LocalitySource::kSysfs}));
  EXPECT_EQ(devices[1].bus_id, "0000:0c:00.0");
  EXPECT_THAT(devices[1].names, ElementsAre("ib0", "mlx5_0"));
  EXPECT_EQ(devices[2].bus_id, "0000:0f:00.0");
}

TEST_F(SysfsPci, MinusOneIsUnknownAndNotNodeZero) {
  const FakeMachine node = machine();
  node.add({.bus_id = "0001:00:00.0", .numa_node = -1});
  const auto devices = sysfs_pci_devices(node.root());
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0].locality, Locality{});
}

TEST_F(SysfsPci, NamesTheBridgesAboveFromTheOutermostIn) {
  const FakeMachine node = machine();
  node.add(
      {.bus_id = "0000:07:00.0", .above = "pci0000:00/0000:00:01.1/0000:01:00.0/0000:02:04.0"});
  node.add({.bus_id = "0001:00:00.0", .above = "LNXSYSTM:00/VMBUS:00/47505500-0001/pci0001:00"});
  const auto devices = sysfs_pci_devices(node.root());
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_THAT(devices[0].upstream, ElementsAre("0000:00:01.1", "0000:01:00.0", "0000:02:04.0"));
  EXPECT_THAT(devices[1].upstream, IsEmpty()) << "Hyper-V shows no bridges";
}

TEST_F(SysfsPci, TellsVirtualFunctionsByTheirPhysicalOne) {
  const FakeMachine node = machine();
  node.add({.bus_id = "0000:3b:00.0", .device_class = 0x020000, .vendor = 0x15b3});
  node.add({.bus_id = "0000:3b:00.2",
            .device_class = 0x020000,
            .vendor = 0x15b3,
            .physical = "0000:3b:00.0"});
  const auto devices = sysfs_pci_devices(node.root());
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].physical_function, "");
  EXPECT_EQ(devices[1].physical_function, "0000:3b:00.0");
}

TEST_F(SysfsPci, FindsTheInterfaceOfAVirtioNic) {
  const FakeMachine node = machine();
  node.add({.bus_id = "0000:00:03.0",
            .device_class = 0x020000,
            .vendor = 0x1af4,
            .names = {"virtio1/net/eth0"}});
  const auto devices = sysfs_pci_devices(node.root());
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_THAT(devices[0].names, ElementsAre("eth0"));
}

TEST_F(SysfsPci, GarbledFilesAreNoDevices) {
  const FakeMachine node = machine();
  node.write("sys/bus/pci/devices/0000:07:00.0/class", "0xfrog\n");
  node.write("sys/bus/pci/devices/frog/class", "0x030200\n");
  node.write("sys/bus/pci/devices/0000:08:00.0/vendor", "0x10de\n");
  EXPECT_THAT(sysfs_pci_devices(node.root()), IsEmpty());
}

TEST_F(SysfsPci, WithoutSysThereAreNone) {
  EXPECT_THAT(sysfs_pci_devices(scratch().string() + "/none"), IsEmpty());
}

}  // namespace
}  // namespace muster::topology
