#include "launcher/topology/nccl_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/support/nccl_samples.h"

namespace muster::topology {
namespace {

using test::nd_a100_v4;
using test::nd_a100_v4_file;
using test::replaced;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

NcclTopology parsed(const std::string& text) {
  auto topology = parse_nccl_topology(text, "topo.xml");
  if (!topology) ADD_FAILURE() << topology.error().message;
  return topology.value_or(NcclTopology{});
}

std::string error_of(const std::string& text) {
  const auto topology = parse_nccl_topology(text, "topo.xml");
  if (topology) return "";
  EXPECT_EQ(topology.error().code, ErrorCode::kResources);
  EXPECT_NE(topology.error().hint, "");
  return std::to_string(topology.error().location->line) + ": " + topology.error().message;
}

TEST(NcclTopology, PlacesGpusAndNicsOfAzuresFile) {
  const NcclTopology topology = parsed(nd_a100_v4_file());
  ASSERT_EQ(topology.cpus.size(), 4U);
  EXPECT_EQ(topology.cpus[2].numa_node, 2);
  EXPECT_EQ(topology.cpus[2].affinity.to_string(), "48-71");
  const NcclDevice* gpu = topology.find("0001:00:00.0");
  ASSERT_NE(gpu, nullptr);
  EXPECT_TRUE(gpu->is_gpu);
  EXPECT_EQ(gpu->numa_node, 1);
  EXPECT_THAT(gpu->upstream, ElementsAre("ffff:ff:02.0"));
  const NcclDevice* nic = topology.find("0108:00:00.0");
  ASSERT_NE(nic, nullptr);
  EXPECT_FALSE(nic->is_gpu);
  EXPECT_EQ(nic->numa_node, 2);
  EXPECT_EQ(topology.find("ffff:ff:02.0"), nullptr) << "a bridge is no device";
  EXPECT_EQ(topology.devices.size(), 16U);
}

TEST(NcclTopology, ReadsWhatNcclDumps) {
  const auto text = read_file(std::string(MUSTER_TEST_DATA) + "/nccl/dumped.xml");
  ASSERT_TRUE(text);
  const NcclTopology topology = parsed(*text);
  EXPECT_EQ(topology.cpus[0].affinity.to_string(), "0-15");
  ASSERT_EQ(topology.devices.size(), 2U);
  EXPECT_TRUE(topology.devices[0].is_gpu);
  EXPECT_THAT(topology.devices[0].upstream, ElementsAre("0000:15:01.0"));
  EXPECT_THAT(topology.devices[1].nets, ElementsAre("mlx5_0"));
}

TEST(NcclTopology, RefusesWhatItIsNot) {
  EXPECT_THAT(error_of(""), HasSubstr("it is no XML"));
  EXPECT_THAT(error_of("<system>\n<cpu numaid='0'>\n"), HasSubstr("it is no XML"));
  EXPECT_EQ(error_of("\n<topology/>"),
            "2: this is no NCCL topology file: its root element is not \"system\"");
  EXPECT_THAT(error_of("<system/>"), HasSubstr("no \"cpu\" element"));
  EXPECT_THAT(error_of("<system>\n\n<cpu/></system>"), HasSubstr("3: "));
  EXPECT_THAT(error_of("<system><cpu numaid='x\n'/></system>"), HasSubstr("numaid is \"x?\""));
  EXPECT_THAT(error_of("<system><cpu numaid='70000'/></system>"), HasSubstr("numaid"));
  EXPECT_THAT(error_of("<system><cpu numaid='0' affinity='0x1g'/></system>"),
              HasSubstr("affinity is \"0x1g\""));
  EXPECT_THAT(error_of("<system><cpu numaid='0' affinity='1,,1'/></system>"),
              HasSubstr("affinity"));
  EXPECT_THAT(error_of("<system><cpu numaid='0' affinity='100000000'/></system>"),
              HasSubstr("affinity"));
  EXPECT_THAT(error_of("<system><cpu numaid='0'><pci busid='7'/></cpu></system>"),
              HasSubstr("busid is \"7\""));
}

TEST(NcclTopology, IsBounded) {
  std::string deep = "<system><cpu numaid='0'>";
  for (int i = 0; i < 100'000; ++i) deep += "<pci busid='0:0:0.0'>";
  EXPECT_NE(error_of(deep), "");
  std::string closed = deep;
  for (int i = 0; i < 100'000; ++i) closed += "</pci>";
  EXPECT_THAT(error_of(closed + "</cpu></system>"), HasSubstr("more than 32 deep"));
  std::string wide = "<system><cpu numaid='0'>";
  for (int i = 0; i < 30'000; ++i) wide += "<pci busid='0:0:0.0'/>";
  EXPECT_THAT(error_of(wide + "</cpu></system>"), HasSubstr("more than 20000 elements"));
  std::string mask = "<system><cpu numaid='0' affinity='1";
  for (int i = 0; i < 2000; ++i) mask += ",1";
  EXPECT_THAT(error_of(mask + "'/></system>"), HasSubstr("affinity"));
  EXPECT_THAT(error_of(std::string((4U << 20U) + 1, ' ')), HasSubstr("larger than 4 MiB"));
}

TEST(NcclTopology, HoldsForTheMachineThatItIsOf) {
  EXPECT_EQ(why_it_does_not_hold(parsed(nd_a100_v4_file()), nd_a100_v4()), "");
}

TEST(NcclTopology, HoldsWhereOnlySomeGpusAreVisible) {
  NodeInventory node = nd_a100_v4();
  node.gpus.resize(2);
  EXPECT_EQ(why_it_does_not_hold(parsed(nd_a100_v4_file()), node), "");
}

TEST(NcclTopology, DoesNotHoldWithMasksThatOverlap) {
  const std::string text =
      replaced(nd_a100_v4_file(), "00000000,0000ffff,ff000000", "00000000,0000ffff,ff800000");
  EXPECT_EQ(why_it_does_not_hold(parsed(text), nd_a100_v4()),
            "the CPU masks of its NUMA nodes 0 and 1 overlap (CPUs 23)");
}

TEST(NcclTopology, DoesNotHoldWithSwappedMasks) {
  std::string text = replaced(nd_a100_v4_file(), "00000000,00000000,00ffffff", "first");
  text = replaced(text, "00000000,0000ffff,ff000000", "00000000,00000000,00ffffff");
  text = replaced(text, "first", "00000000,0000ffff,ff000000");
  EXPECT_EQ(why_it_does_not_hold(parsed(text), nd_a100_v4()),
            "it gives NUMA node 0 CPUs 24-47, and the kernel CPUs 0-23");
}

TEST(NcclTopology, DoesNotHoldForAnotherSizeOfMachine) {
  NodeInventory node = nd_a100_v4();
  node.numa_nodes.resize(2);
  EXPECT_EQ(why_it_does_not_hold(parsed(nd_a100_v4_file()), node),
            "it has NUMA node 2, which this machine does not have");
}

TEST(NcclTopology, DoesNotHoldUnlessEachGpuIsThereOnce) {
  const std::string absent = replaced(nd_a100_v4_file(), "000b:00:00.0", "000f:00:00.0");
  EXPECT_EQ(why_it_does_not_hold(parsed(absent), nd_a100_v4()),
            "GPU 000b:00:00.0 of this node is not in it");
  const std::string twice = replaced(nd_a100_v4_file(), "000b:00:00.0", "0001:00:00.0");
  EXPECT_EQ(why_it_does_not_hold(parsed(twice), nd_a100_v4()), "it has GPU 0001:00:00.0 2 times");
  NodeInventory hidden = nd_a100_v4();
  hidden.hidden_gpus.assign(hidden.gpus.begin() + 1, hidden.gpus.end());
  hidden.gpus.resize(1);
  EXPECT_EQ(why_it_does_not_hold(parsed(absent), hidden),
            "GPU 000b:00:00.0 of this node is not in it");
}

TEST(NcclTopology, DoesNotHoldWithoutAGpuOrWithNodesThatAreNotTold) {
  EXPECT_EQ(why_it_does_not_hold(parsed(nd_a100_v4_file()), NodeInventory{}),
            "this node has no GPU that it could place");
  const std::string untold = replaced(nd_a100_v4_file(), "numaid=\"3\"", "numaid=\"-1\"");
  EXPECT_THAT(why_it_does_not_hold(parsed(untold), nd_a100_v4()), HasSubstr("numaid is -1"));
  const std::string twice = replaced(nd_a100_v4_file(), "numaid=\"3\"", "numaid=\"2\"");
  EXPECT_EQ(why_it_does_not_hold(parsed(twice), nd_a100_v4()), "it has NUMA node 2 twice");
}

TEST(NcclTopology, SaysWhereTheKernelDiffers) {
  NodeInventory node = nd_a100_v4();
  EXPECT_TRUE(contradictions(parsed(nd_a100_v4_file()), node).empty()) << "the kernel says nothing";
  node.gpus[0].numa_node = 0;
  node.gpus[0].locality_source = LocalitySource::kSysfs;
  node.gpus[1].numa_node = 1;
  node.gpus[1].locality_source = LocalitySource::kSysfs;
  const auto notes = contradictions(parsed(nd_a100_v4_file()), node);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0].kind, Note::Kind::kWarning);
  EXPECT_EQ(notes[0].text,
            "the file is believed: 0001:00:00.0 is on NUMA node 1 by the file, and on 0 by sysfs");
}

}  // namespace
}  // namespace muster::topology
