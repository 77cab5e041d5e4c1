#include "launcher/topology/recorded_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/topology/discover.h"

namespace muster::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Written by hand after the form that lstopo of hwloc 2 writes.
NodeInventory two_packages(const std::map<std::string, std::string>& environment = {}) {
  auto inventory = discover(
      {.xml_file = MUSTER_TEST_DATA "/recorded/two-packages.xml", .environment = environment});
  EXPECT_TRUE(inventory) << inventory.error().message;
  return inventory ? *inventory : NodeInventory{};
}

TEST(RecordedDevices, GpusAreInTheDriversOrderAndWhereTheyHang) {
  const NodeInventory node = two_packages();
  ASSERT_EQ(node.gpus.size(), 3U) << "no BMC's VGA, no NVSwitch";
  EXPECT_EQ(node.gpus[0].bus_id, "0000:87:00.0") << "nvml0";
  EXPECT_EQ(node.gpus[0].visible_ordinal, 0);
  EXPECT_EQ(node.gpus[0].uuid, "GPU-11111111-0000-0000-0000-000000000000");
  EXPECT_EQ(node.gpus[0].numa_node, 1);
  EXPECT_EQ(node.gpus[0].package, 1);
  EXPECT_EQ(node.gpus[0].locality_source, LocalitySource::kHwloc);
  EXPECT_EQ(node.gpus[1].bus_id, "0000:07:00.0") << "nvml1";
  EXPECT_EQ(node.gpus[1].model, "NVIDIA A100-SXM4-40GB");
  EXPECT_EQ(node.gpus[1].memory_bytes, 41487360ULL * 1024) << "of its CUDA device";
  EXPECT_THAT(node.gpus[1].upstream, ElementsAre("0000:00:01.0"));
  EXPECT_EQ(node.gpu_source, "two-packages.xml");
}

TEST(RecordedDevices, ADeviceBelowTheMachineIsOfUnknownLocality) {
  const NodeInventory node = two_packages();
  ASSERT_EQ(node.gpus.size(), 3U);
  EXPECT_EQ(node.gpus[2].bus_id, "0001:00:00.0") << "without a driver's number after the others";
  EXPECT_EQ(node.gpus[2].numa_node, kUnknown);
  EXPECT_EQ(node.gpus[2].locality_source, LocalitySource::kNobody);
  ASSERT_EQ(node.notes.size(), 3U) << "GPUs, NICs, and memory that is not allowed";
  EXPECT_EQ(node.notes[0].kind, Note::Kind::kWarning);
}

TEST(RecordedDevices, NicsHaveKindStateAndPlace) {
  const NodeInventory node = two_packages();
  ASSERT_EQ(node.nics.size(), 4U);
  EXPECT_EQ(node.nics[0].name, "mlx5_0");
  EXPECT_EQ(node.nics[0].kind, NicKind::kInfiniBand);
  EXPECT_EQ(node.nics[0].port, 1);
  EXPECT_EQ(node.nics[0].state, LinkState::kActive);
  EXPECT_EQ(node.nics[0].interface, "ib0");
  EXPECT_EQ(node.nics[0].numa_node, 0);
  EXPECT_EQ(node.nics[0].unfit, "");
  EXPECT_EQ(node.nics[1].name, "mlx5_2") << "before mlx5_10";
  EXPECT_EQ(node.nics[1].kind, NicKind::kEfa);
  EXPECT_EQ(node.nics[1].state, LinkState::kUntold);
  EXPECT_EQ(node.nics[2].name, "mlx5_10");
  EXPECT_EQ(node.nics[2].kind, NicKind::kRoce);
  EXPECT_EQ(node.nics[2].state, LinkState::kDown);
  EXPECT_NE(node.nics[2].unfit, "");
  EXPECT_EQ(node.nics[3].name, "eth0");
  EXPECT_FALSE(node.nics[3].is_rdma());
  EXPECT_EQ(node.nics[3].numa_node, kUnknown);
}

TEST(RecordedDevices, TheCallersVisibleDevicesAreOfAnotherMachine) {
  EXPECT_EQ(two_packages({{"CUDA_VISIBLE_DEVICES", "1"}}).gpus.size(), 3U);
}

TEST(RecordedMachine, HasDistancesAndAllowedMemory) {
  const NodeInventory node = two_packages();
  ASSERT_EQ(node.numa_nodes.size(), 2U);
  EXPECT_THAT(node.numa_nodes[0].distances, ElementsAre(10, 21));
  EXPECT_THAT(node.numa_nodes[1].distances, ElementsAre(31, 10));
  EXPECT_TRUE(node.numa_nodes[0].memory_allowed);
  EXPECT_FALSE(node.numa_nodes[1].memory_allowed);
  EXPECT_EQ(node.numa_nodes[1].package, 1);
}

RecordedDevice amd(const std::string& bus_id, std::vector<OsDevice> os_devices) {
  RecordedDevice device;
  device.pci.bus_id = bus_id;
  device.pci.device_class = 0x1200;
  device.pci.vendor = 0x1002;
  device.os_devices = std::move(os_devices);
  return device;
}

TEST(RecordedGpus, PartitionsOfOneGpuAreOneEach) {
  const auto partition = [](int number) {
    return OsDevice{OsDevice::Kind::kGpu,
                    "rsmi" + std::to_string(number),
                    {{"AMDUUID", "0x" + std::to_string(number)}, {"GPUModel", "MI300X"}}};
  };
  const auto gpus = recorded_gpus({amd("0000:46:00.0", {partition(2), partition(3)}),
                                   amd("0000:0c:00.0", {partition(0), partition(1)})});
  ASSERT_EQ(gpus.size(), 4U);
  EXPECT_EQ(gpus[0].bus_id, "0000:0c:00.0");
  EXPECT_EQ(gpus[1].bus_id, "0000:0c:00.0");
  EXPECT_EQ(gpus[2].bus_id, "0000:46:00.0");
  EXPECT_EQ(gpus[3].uuid, "0x3");
  EXPECT_EQ(gpus[3].visible_ordinal, 3);
}

TEST(RecordedGpus, OtherDriversNumbersAreNoOrder) {
  const auto gpus =
      recorded_gpus({amd("0000:46:00.0", {{OsDevice::Kind::kCoprocessor, "cuda0", {}}}),
                     amd("0000:0c:00.0",
                         {{OsDevice::Kind::kGpu, "card3", {}}, {OsDevice::Kind::kGpu, "ze0.1"}})});
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].bus_id, "0000:0c:00.0");
  EXPECT_EQ(gpus[0].physical_index, kUnknown);
}

TEST(RecordedNics, AnRdmaDeviceWithTwoPortsIsTwo) {
  RecordedDevice device;
  device.pci.bus_id = "0000:0c:00.0";
  device.pci.device_class = 0x0207;
  device.os_devices = {
      {OsDevice::Kind::kRdma, "mlx4_0", {{"Port1State", "4"}, {"Port2State", "1"}}},
      {OsDevice::Kind::kNetwork, "ib0"},
      {OsDevice::Kind::kNetwork, "ib1"}};
  const auto nics = recorded_nics({device});
  ASSERT_EQ(nics.size(), 2U);
  EXPECT_EQ(nics[1].port, 2);
  EXPECT_EQ(nics[1].state, LinkState::kDown);
  EXPECT_EQ(nics[1].interface, "ib1");
  EXPECT_THAT(recorded_gpus({device}), IsEmpty());
}

}  // namespace
}  // namespace muster::topology
