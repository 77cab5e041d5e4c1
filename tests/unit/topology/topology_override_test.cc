#include "launcher/topology/topology_override.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_text.h"
#include "tests/support/nccl_samples.h"

namespace muster::topology {
namespace {

using ::testing::HasSubstr;

TopologyOverride parsed(const std::string& text) {
  auto result = parse_topology_override(text, "o.yaml");
  if (!result) ADD_FAILURE() << format_error(result.error());
  return result.value_or(TopologyOverride{});
}

// "line:column: message"
std::string error_of(const std::string& text) {
  const auto result = parse_topology_override(text, "o.yaml");
  if (result) return "";
  const Error& error = result.error();
  EXPECT_EQ(error.code, ErrorCode::kConfig);
  EXPECT_NE(error.hint, "");
  EXPECT_EQ(error.location->file, "o.yaml");
  const std::string start = "cannot use the override file o.yaml: ";
  EXPECT_TRUE(error.message.starts_with(start)) << error.message;
  return std::to_string(error.location->line) + ":" + std::to_string(error.location->column) +
         ": " + error.message.substr(start.size());
}

TEST(TopologyOverride, IsReadFromYaml) {
  const auto file = parsed(
      "# where things are\n"
      "gpus:\n"
      "  0000:07:00.0: {numa_node: 3}\n"
      "  GPU-1a2b: {numa_node: 1}\n"
      "nics:\n"
      "  mlx5_0:\n"
      "    numa_node: 0\n"
      "    usable: no\n");
  ASSERT_EQ(file.gpus.size(), 2U);
  EXPECT_EQ(file.gpus[0].name, "0000:07:00.0");
  EXPECT_EQ(file.gpus[0].numa_node, 3);
  EXPECT_EQ(file.gpus[0].location.line, 3);
  ASSERT_EQ(file.nics.size(), 1U);
  EXPECT_EQ(file.nics[0].usable, false);
}

TEST(TopologyOverride, IsReadFromJson) {
  const auto file = parsed(
      "{\n\t\"gpus\": {\"00000000:07:00.0\": {\"numa_node\": 3}},\n"
      "\t\"nics\": {\"eth0\": {\"usable\": true}}\n}\n");
  ASSERT_EQ(file.gpus.size(), 1U);
  Gpu gpu;
  gpu.bus_id = "0000:07:00.0";
  ASSERT_NE(file.find(gpu), nullptr);
  EXPECT_EQ(file.find(gpu)->numa_node, 3);
}

TEST(TopologyOverride, OfNothingIsEmpty) {
  EXPECT_TRUE(parsed("").gpus.empty());
  EXPECT_TRUE(parsed("# nothing\n").nics.empty());
  EXPECT_TRUE(parsed("gpus: {}\n").gpus.empty());
}

TEST(TopologyOverride, FindsDevicesByEachOfTheirNames) {
  const auto file = parsed(
      "gpus: {0001:00:00.0: {numa_node: 1}, GPU-b: {numa_node: 2}}\n"
      "nics: {mlx5_0: {numa_node: 0}, '0000:0d:00.0': {numa_node: 1}, ens1f0: {usable: yes}}\n");
  Gpu gpu;
  EXPECT_EQ(file.find(gpu), nullptr);
  gpu.parent_uuid = "GPU-b";
  gpu.uuid = "MIG-1";
  EXPECT_EQ(file.find(gpu)->numa_node, 2);
  Nic nic;
  nic.name = "mlx5_1";
  EXPECT_EQ(file.find(nic), nullptr);
  nic.interface = "ens1f0";
  EXPECT_EQ(file.find(nic)->usable, true);
  nic = Nic{};
  nic.bus_id = "0000:0d:00.0";
  EXPECT_EQ(file.find(nic)->numa_node, 1);
}

TEST(TopologyOverride, NamesThePlaceOfAMistake) {
  EXPECT_EQ(error_of("gpu: {}"), "1:1: unknown key \"gpu\"; there are gpus and nics");
  EXPECT_THAT(error_of("gpus:\n  3: {numa_node: 1}"),
              HasSubstr("2:3: \"3\" is neither a PCI bus id nor the UUID of a GPU"));
  EXPECT_EQ(error_of("gpus:\n  0000:07:00.0:\n    numa_node: one\n"),
            "3:16: numa_node is \"one\", and must be the number of a NUMA node");
  EXPECT_THAT(error_of("gpus: {0000:07:00.0: {numa_node: -1}}"), HasSubstr("numa_node is \"-1\""));
  EXPECT_EQ(error_of("nics: {mlx5_0: {numa-node: 1}}"),
            "1:17: unknown key \"numa-node\"; there is numa_node and usable");
  EXPECT_THAT(error_of("gpus: {GPU-a: {usable: no}}"), HasSubstr("unknown key \"usable\""));
  EXPECT_THAT(error_of("nics: {mlx5_0: {usable: maybe}}"), HasSubstr("must be true or false"));
  EXPECT_THAT(error_of("nics: {mlx5_0: {}}"), HasSubstr("nothing is said about \"mlx5_0\""));
  EXPECT_EQ(error_of("nics:\n  mlx5_0: {numa_node: 1}\n  mlx5_0: {numa_node: 2}\n"),
            "3:3: \"mlx5_0\" stands twice");
  EXPECT_THAT(error_of("nics:\n  mlx5_0: 1\n"), HasSubstr("2:11: \"mlx5_0\" is \"1\""));
  EXPECT_THAT(error_of("nics:\n  mlx5_0:\n"), HasSubstr("\"mlx5_0\" has no value"));
  EXPECT_THAT(error_of("nics: [mlx5_0]"), HasSubstr("1:7: a list has no meaning here"));
  EXPECT_THAT(error_of("nics: {a: {numa_node: {b: 1}}}"), HasSubstr("must be one word"));
  EXPECT_THAT(error_of("hello"), HasSubstr("a single word"));
  EXPECT_THAT(error_of("nics: &a {b: *a}"), HasSubstr("aliases"));
  EXPECT_THAT(error_of("nics: {b: {numa_node: !x 1}}"), HasSubstr("the tag \"!x\""));
  EXPECT_THAT(error_of("nics: {a: {numa_node: 1}\n"), HasSubstr("end of map flow"));
  EXPECT_THAT(error_of("nics: {}\n---\nnics: {}\n"), HasSubstr("more than one YAML document"));
  EXPECT_THAT(error_of(std::string("nics: {}\x04", 9)), HasSubstr("control characters"));
  EXPECT_THAT(error_of(std::string((1U << 20U) + 1, ' ')), HasSubstr("larger than 1 MiB"));
}

TEST(TopologyOverride, IsComparedWithTheMachine) {
  const NodeInventory node = test::nd_a100_v4();
  const auto wrong = check_topology_override(parsed("gpus:\n  GPU-0001: {numa_node: 7}\n"), node);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message,
            "cannot use the override file o.yaml: nd-a100-v4 has no NUMA node 7");
  EXPECT_EQ(wrong.error().hint, "it has 0, 1, 2, 3");
  EXPECT_EQ(wrong.error().location->line, 2);
  const auto notes = check_topology_override(
      parsed("gpus:\n  GPU-0001: {numa_node: 1}\n  GPU-z: {numa_node: 1}\nnics: {mlx5_9: {usable: "
             "yes}}\n"),
      node);
  ASSERT_TRUE(notes);
  ASSERT_EQ(notes->size(), 2U);
  EXPECT_EQ((*notes)[0].text, "o.yaml:3: nd-a100-v4 has no GPU \"GPU-z\"");
  EXPECT_EQ((*notes)[1].text, "o.yaml:4: nd-a100-v4 has no NIC \"mlx5_9\"");
}

TEST(TopologyOverride, HasTheLastWordOnFitness) {
  std::vector<Nic> nics(3);
  nics[0].name = "mlx5_0";
  nics[1].name = "mlx5_1";
  nics[1].unfit = "storage, by its name";
  nics[2].name = "mlx5_2";
  nics[2].unfit = "down";
  apply_usability(parsed("nics: {mlx5_0: {usable: no}, mlx5_1: {usable: yes}}"), nics);
  EXPECT_EQ(nics[0].unfit, "by the override file");
  EXPECT_EQ(nics[1].unfit, "");
  EXPECT_EQ(nics[2].unfit, "down");
}

}  // namespace
}  // namespace muster::topology
