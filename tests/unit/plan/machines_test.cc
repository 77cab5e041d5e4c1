// The hwloc files of tests/data/topologies are the machines of tests/data/machines: hwloc finds in
// each what its description says.
#include <algorithm>

#include <gtest/gtest.h>

#include "tests/support/machines.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using topology::NodeInventory;
using topology::NumaNode;

class DescribedMachines : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    described_ = described(GetParam()).inventory;
    found_ = machine(GetParam());
  }

  NodeInventory described_;
  NodeInventory found_;
};

TEST_P(DescribedMachines, HaveTheirCpusAndMemoryInTheHwlocFile) {
  EXPECT_EQ(found_.hostname, described_.hostname);
  EXPECT_EQ(found_.package_count, described_.package_count);
  EXPECT_EQ(found_.present, described_.present);
  EXPECT_EQ(found_.allowed, described_.allowed);
  ASSERT_EQ(found_.cores.size(), described_.cores.size());
  for (std::size_t i = 0; i < found_.cores.size(); ++i) {
    EXPECT_EQ(found_.cores[i], described_.cores[i]) << "core " << i;
  }
  ASSERT_EQ(found_.numa_nodes.size(), described_.numa_nodes.size());
  for (std::size_t i = 0; i < found_.numa_nodes.size(); ++i) {
    const NumaNode& found = found_.numa_nodes[i];
    const NumaNode& said = described_.numa_nodes[i];
    EXPECT_EQ(found.os_index, said.os_index);
    EXPECT_EQ(found.memory_bytes, said.memory_bytes);
    EXPECT_EQ(found.cpus, said.cpus);
    EXPECT_EQ(found.present_cpus, said.present_cpus);
    EXPECT_EQ(found.package, said.package);
    EXPECT_EQ(found.memory_allowed, said.memory_allowed);
    EXPECT_EQ(found.distances, said.distances);
  }
}

// Whole GPUs: hwloc's files know no instances.
std::vector<topology::Gpu> whole(const std::vector<topology::Gpu>& gpus) {
  std::vector<topology::Gpu> found;
  for (const topology::Gpu& gpu : gpus) {
    if (!found.empty() && found.back().bus_id == gpu.bus_id) continue;
    found.push_back(gpu);
    if (gpu.is_instance()) found.back().uuid = gpu.parent_uuid;
  }
  return found;
}

TEST_P(DescribedMachines, HaveTheirDevicesInTheHwlocFile) {
  const std::vector<topology::Gpu> said = whole(described_.gpus);
  ASSERT_EQ(found_.gpus.size(), said.size());
  for (std::size_t i = 0; i < said.size(); ++i) {
    const topology::Gpu& found = found_.gpus[i];
    EXPECT_EQ(found.bus_id, said[i].bus_id) << "GPU " << i;
    EXPECT_EQ(found.uuid, said[i].uuid) << "GPU " << i;
    EXPECT_EQ(found.numa_node, said[i].numa_node) << "GPU " << i;
    EXPECT_EQ(found.package, said[i].package) << "GPU " << i;
    EXPECT_EQ(found.upstream, said[i].upstream) << "GPU " << i;
  }
  ASSERT_EQ(found_.nics.size(), described_.nics.size());
  for (std::size_t i = 0; i < found_.nics.size(); ++i) {
    const topology::Nic& found = found_.nics[i];
    const topology::Nic& nic = described_.nics[i];
    EXPECT_EQ(found.name, nic.name);
    EXPECT_EQ(found.bus_id, nic.bus_id) << nic.name;
    EXPECT_EQ(found.kind, nic.kind) << nic.name;
    EXPECT_EQ(found.state, nic.state) << nic.name;
    EXPECT_EQ(found.unfit, nic.unfit) << nic.name;
    EXPECT_EQ(found.numa_node, nic.numa_node) << nic.name;
    EXPECT_EQ(found.upstream, nic.upstream) << nic.name;
  }
}

TEST_P(DescribedMachines, AreWhatTheirExpectedRowsSpeakOf) {
  for (const ExpectedPlacement& row : described(GetParam()).expected) {
    EXPECT_EQ(row.cpus.size(), static_cast<std::size_t>(row.processes));
    CpuSet dealt;
    for (const std::string& cpus : row.cpus) {
      const auto set = CpuSet::parse(cpus);
      ASSERT_TRUE(set) << cpus;
      EXPECT_TRUE(dealt.intersection(*set).empty()) << cpus << " is in two rows";
      dealt = dealt.united(*set);
    }
    EXPECT_EQ(dealt.intersection(described_.allowed), dealt);
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& machine) {
  std::string name = machine.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Each, DescribedMachines, ::testing::ValuesIn(described_machines()),
                         test_name);

}  // namespace
}  // namespace muster::plan
