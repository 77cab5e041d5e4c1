#include "launcher/topology/gpus_file.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/topology/discover.h"
#include "launcher/topology/inventory_json.h"
#include "tests/support/scratch.h"

namespace muster::topology {
namespace {

using ::testing::HasSubstr;

using GpusFile = test::ScratchTest;

TEST_F(GpusFile, GivesAMachineWithoutDevicesItsGpus) {
  const std::string file = write("gpus.json", R"([{"bus_id": "0000:87:00.0", "numa_node": 1},
                                                  {"bus_id": "07:00.0", "uuid": "GPU-b"}])");
  const auto node =
      discover({.xml_file = MUSTER_TEST_DATA "/topologies/server-2x16.xml", .gpus_file = file});
  ASSERT_TRUE(node) << node.error().message;
  ASSERT_EQ(node->gpus.size(), 2U);
  EXPECT_EQ(node->gpus[0].numa_node, 1);
  EXPECT_EQ(node->gpus[0].package, 1);
  EXPECT_EQ(node->gpus[0].locality_source, LocalitySource::kGpusFile);
  EXPECT_EQ(node->gpus[1].visible_ordinal, 1);
  EXPECT_EQ(node->gpus[1].bus_id, "0000:07:00.0");
  EXPECT_EQ(node->gpus[1].numa_node, kUnknown);
  EXPECT_EQ(node->gpu_source, "gpus.json");
}

TEST_F(GpusFile, TakesWhatTopoPrints) {
  const std::string recorded = MUSTER_TEST_DATA "/recorded/two-packages.xml";
  const auto printed = discover({recorded});
  ASSERT_TRUE(printed);
  const std::string file = write("node.json", topology_json(*printed));
  const auto node = discover({.xml_file = recorded, .gpus_file = file});
  ASSERT_TRUE(node) << node.error().message;
  ASSERT_EQ(node->gpus.size(), printed->gpus.size());
  for (std::size_t i = 0; i < node->gpus.size(); ++i) {
    EXPECT_EQ(node->gpus[i].bus_id, printed->gpus[i].bus_id);
    EXPECT_EQ(node->gpus[i].uuid, printed->gpus[i].uuid);
    EXPECT_EQ(node->gpus[i].numa_node, printed->gpus[i].numa_node);
  }
  EXPECT_THAT(node->notes.at(0).text, HasSubstr("stand in for the 3 that two-packages.xml has"));
}

TEST_F(GpusFile, SaysWhatIsWrongWithIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"{", "it is not JSON"},
      {"3", "it is not one JSON object"},
      {"{\"gpu\": []}", "it has no list \"gpus\""},
      {"[3]", "a GPU is no JSON object"},
      {R"([{"bus_id": "frog"}])", "bus_id \"frog\" is no PCI address"},
      {R"([{}, {"numa_node": -1}])", "\"numa_node\" of a GPU is not a number from 0 on, or null"},
      {R"([{"uuid": 7}])", "\"uuid\" of a GPU is not text"},
      {R"([{"index": 0}, {"index": 0}])", "two GPUs have index 0"},
      {R"([{"index": 0}, {"index": 2}])", "the indexes do not count from 0 to 1"},
  };
  for (const auto& [text, why] : cases) {
    const auto gpus = parse_gpus(text, "gpus.json");
    ASSERT_FALSE(gpus) << text;
    EXPECT_EQ(gpus.error().code, ErrorCode::kResources);
    EXPECT_EQ(gpus.error().message, std::string("cannot use GPU file gpus.json: ") + why);
    EXPECT_FALSE(gpus.error().hint.empty());
  }
}

TEST_F(GpusFile, DoesNotWaitForAPipe) {
  const std::string pipe = (scratch() / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string machine = MUSTER_TEST_DATA "/topologies/server-2x16.xml";
  for (const TopologyOptions& options :
       {TopologyOptions{.xml_file = machine, .gpus_file = pipe},
        TopologyOptions{.xml_file = machine, .override_file = pipe},
        TopologyOptions{.xml_file = pipe}}) {
    const auto node = discover(options);
    ASSERT_FALSE(node);
    EXPECT_THAT(node.error().message, HasSubstr("it is no regular file, but a pipe (FIFO)"));
  }
}

TEST_F(GpusFile, NamesAFileThatIsNotThere) {
  const auto node = discover({.xml_file = MUSTER_TEST_DATA "/topologies/server-2x16.xml",
                              .gpus_file = "/nowhere/gpus.json"});
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().code, ErrorCode::kResources);
  EXPECT_THAT(node.error().message, HasSubstr("cannot use GPU file /nowhere/gpus.json"));
}

}  // namespace
}  // namespace muster::topology
