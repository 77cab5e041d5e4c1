#include "launcher/topology/network_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/topology/nic_fitness.h"
#include "tests/support/scratch.h"
#include "tests/support/sysfs_tree.h"

namespace muster::topology {
namespace {

using ::testing::ElementsAre;

class NetworkDevices : public test::ScratchTest {
 protected:
  std::vector<Nic> nics_of(const std::string& machine, const std::vector<PciDevice>& pci = {}) {
    test::unpack_sysfs(std::filesystem::path(MUSTER_TEST_DATA) / "sysfs" / (machine + ".tree"),
                       scratch());
    return find_nics(scratch(), pci);
  }
};

std::vector<std::string> names_of(const std::vector<Nic>& nics) {
  std::vector<std::string> names;
  for (const Nic& nic : nics) names.push_back(nic.name);
  return names;
}

std::vector<std::string> fit_ones(const std::vector<Nic>& nics) {
  std::vector<std::string> names;
  for (const Nic& nic : nics) {
    if (nic.unfit.empty()) names.push_back(nic.name);
  }
  return names;
}

const Nic& named(const std::vector<Nic>& nics, const std::string& name) {
  static const Nic kNone;
  for (const Nic& nic : nics) {
    if (nic.name == name) return nic;
  }
  ADD_FAILURE() << "no " << name;
  return kNone;
}

TEST_F(NetworkDevices, OfADgxAreItsPortsAndNotWhatHasNoHardware) {
  const auto nics = nics_of("dgx-a100");
  EXPECT_THAT(names_of(nics),
              ElementsAre("mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3", "mlx5_4", "mlx5_5", "mlx5_6",
                          "mlx5_7", "mlx5_8", "mlx5_9", "enp34s0", "enx00fecaab0101"));
  EXPECT_THAT(fit_ones(nics), ElementsAre("mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3", "mlx5_6",
                                          "mlx5_7", "mlx5_8", "mlx5_9", "enp34s0"));
  const Nic& first = named(nics, "mlx5_0");
  EXPECT_EQ(first.bus_id, "0000:0c:00.0");
  EXPECT_EQ(first.numa_node, 3);
  EXPECT_EQ(first.locality_source, LocalitySource::kSysfs);
  EXPECT_EQ(first.kind, NicKind::kInfiniBand);
  EXPECT_EQ(first.port, 1);
  EXPECT_EQ(first.state, LinkState::kActive);
  EXPECT_EQ(first.gigabits_per_second, 200);
  EXPECT_EQ(first.interface, "ibp12s0");
  EXPECT_EQ(named(nics, "mlx5_4").kind, NicKind::kRoce);
  EXPECT_EQ(named(nics, "mlx5_4").unfit, "storage or management: Ethernet beside InfiniBand");
  EXPECT_EQ(named(nics, "mlx5_5").unfit, "down");
  EXPECT_EQ(named(nics, "mlx5_5").gigabits_per_second, 0);
  EXPECT_EQ(named(nics, "enp34s0").gigabits_per_second, 1);
  EXPECT_FALSE(named(nics, "enp34s0").is_rdma());
  EXPECT_EQ(named(nics, "enx00fecaab0101").unfit, "management: USB");
  EXPECT_EQ(named(nics, "enx00fecaab0101").bus_id, "0000:46:00.3");
}

TEST_F(NetworkDevices, TakeLocalityFromThePciWalk) {
  PciDevice device;
  device.bus_id = "0000:0c:00.0";
  device.locality = {2, 0, LocalitySource::kHwloc};
  device.upstream = {"0000:00:01.1", "0000:01:00.0"};
  const auto nics = nics_of("dgx-a100", {device});
  EXPECT_EQ(named(nics, "mlx5_0").numa_node, 2);
  EXPECT_EQ(named(nics, "mlx5_0").package, 0);
  EXPECT_EQ(named(nics, "mlx5_0").locality_source, LocalitySource::kHwloc);
  EXPECT_THAT(named(nics, "mlx5_0").upstream, ElementsAre("0000:00:01.1", "0000:01:00.0"));
  EXPECT_EQ(named(nics, "mlx5_1").numa_node, 3);
}

TEST_F(NetworkDevices, OfAzureHaveDomainsOfTheirOwnAndNoLocality) {
  const auto nics = nics_of("azure-nd-a100-v4");
  ASSERT_EQ(nics.size(), 10U);
  EXPECT_EQ(nics[0].name, "mlx5_an0");
  EXPECT_EQ(nics[0].unfit, "management, by its name");
  for (int i = 0; i < 8; ++i) {
    const Nic& nic = nics[static_cast<std::size_t>(i) + 1];
    EXPECT_EQ(nic.name, "mlx5_ib" + std::to_string(i));
    EXPECT_EQ(nic.bus_id, "010" + std::to_string(i + 1) + ":00:00.0");
    EXPECT_EQ(nic.numa_node, kUnknown);
    EXPECT_EQ(nic.locality_source, LocalitySource::kNobody);
    EXPECT_EQ(nic.unfit, "");
  }
  EXPECT_EQ(named(nics, "eth0").bus_id, "");
  EXPECT_EQ(named(nics, "eth0").unfit, "");
}

TEST_F(NetworkDevices, OfAwsAreEfaAndEna) {
  const auto nics = nics_of("aws-p4d");
  EXPECT_THAT(names_of(nics),
              ElementsAre("rdmap16s27", "rdmap32s27", "rdmap144s27", "rdmap160s27", "ens32"));
  EXPECT_EQ(nics[0].kind, NicKind::kEfa);
  EXPECT_EQ(nics[0].gigabits_per_second, 100);
  EXPECT_EQ(nics[4].kind, NicKind::kEthernet);
  EXPECT_EQ(nics[4].state, LinkState::kActive);
  EXPECT_EQ(nics[4].gigabits_per_second, 0) << "the driver tells none";
  EXPECT_EQ(fit_ones(nics).size(), 5U);
}

TEST_F(NetworkDevices, OfALaptopAreNothingToTrainOver) {
  const auto nics = nics_of("laptop");
  EXPECT_THAT(names_of(nics), ElementsAre("enp0s31f6", "wlp2s0"));
  EXPECT_EQ(nics[0].unfit, "no carrier");
  EXPECT_EQ(nics[1].unfit, "wireless");
}

TEST_F(NetworkDevices, OfAVirtualMachineHangOnTheFunctionOfTheirVirtioDevice) {
  const auto nics = nics_of("virtio");
  ASSERT_EQ(nics.size(), 1U);
  EXPECT_EQ(nics[0].bus_id, "0000:00:03.0");
  EXPECT_EQ(nics[0].gigabits_per_second, 0);
  EXPECT_EQ(nics[0].unfit, "");
}

TEST_F(NetworkDevices, OfOnePhysicalFunctionCountOnce) {
  const auto nics = nics_of("sriov");
  EXPECT_EQ(named(nics, "mlx5_0").unfit, "");
  EXPECT_EQ(named(nics, "mlx5_1").unfit, "no carrier");
  EXPECT_EQ(named(nics, "mlx5_2").physical_function, "0000:3b:00.0");
  EXPECT_EQ(named(nics, "mlx5_2").unfit, "shares the port of mlx5_0");
  EXPECT_EQ(named(nics, "mlx5_3").unfit, "shares the port of mlx5_0");
  EXPECT_EQ(named(nics, "mlx5_4").unfit, "") << "its physical function is another machine's";
  EXPECT_EQ(named(nics, "mlx5_5").unfit, "shares the port of mlx5_4");
}

TEST_F(NetworkDevices, HaveAnEntryForEachPort) {
  const auto nics = nics_of("sriov");
  std::vector<Nic> ports;
  for (const Nic& nic : nics) {
    if (nic.name == "mlx5_10") ports.push_back(nic);
  }
  ASSERT_EQ(ports.size(), 2U);
  EXPECT_EQ(ports[0].port, 1);
  EXPECT_EQ(ports[0].unfit, "no address (GID)");
  EXPECT_EQ(ports[1].port, 2);
  EXPECT_EQ(ports[1].unfit, "storage or management: less than half as fast as others");
}

TEST_F(NetworkDevices, AreNoneWithoutSysfs) {
  EXPECT_TRUE(find_nics(scratch() / "nowhere", {}).empty());
}

TEST(NicFitness, KnowsWordsInNamesAndNotPartsOfWords) {
  EXPECT_EQ(purpose_by_name("rdma_storage0"), "storage");
  EXPECT_EQ(purpose_by_name("stor1"), "storage");
  EXPECT_EQ(purpose_by_name("mgmt0"), "management");
  EXPECT_EQ(purpose_by_name("mlx5_an0"), "management");
  EXPECT_EQ(purpose_by_name("restored0"), "");
  EXPECT_EQ(purpose_by_name("mlx5_0"), "");
  EXPECT_EQ(purpose_by_name(""), "");
}

TEST(NicFitness, LeavesOneInfiniBandPortBesideEthernetAlone) {
  std::vector<Nic> nics(2);
  for (Nic& nic : nics) {
    nic.port = 1;
    nic.state = LinkState::kActive;
  }
  nics[0].kind = NicKind::kInfiniBand;
  nics[1].kind = NicKind::kRoce;
  mark_unfit(nics);
  EXPECT_EQ(nics[0].unfit, "");
  EXPECT_EQ(nics[1].unfit, "");
}

TEST(NaturalOrder, ComparesNumbersAsNumbers) {
  EXPECT_TRUE(natural_less("mlx5_2", "mlx5_10"));
  EXPECT_FALSE(natural_less("mlx5_10", "mlx5_2"));
  EXPECT_TRUE(natural_less("a", "a0"));
  EXPECT_TRUE(natural_less("a01", "a1")) << "equal numbers: some order, and always the same";
  EXPECT_FALSE(natural_less("a1", "a01"));
  EXPECT_FALSE(natural_less("eth0", "eth0"));
  EXPECT_TRUE(natural_less("x99999999999999999999", "x100000000000000000000"));
}

}  // namespace
}  // namespace muster::topology
