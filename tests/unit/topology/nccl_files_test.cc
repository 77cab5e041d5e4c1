#include "launcher/topology/nccl_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/nccl_samples.h"
#include "tests/support/scratch.h"

namespace muster::topology {
namespace {

using test::nd_a100_v4;
using test::nd_a100_v4_file;
using test::replaced;
using ::testing::HasSubstr;

class NcclFiles : public test::ScratchTest {
 protected:
  NcclFindings look(const std::map<std::string, std::string>& environment = {},
                    const NodeInventory& node = nd_a100_v4()) {
    return find_nccl_topology(scratch(), environment, node);
  }
  std::string wrong_file() { return replaced(nd_a100_v4_file(), "numaid=\"3\"", "numaid=\"2\""); }
};

TEST(NcclConf, IsReadAsNcclReadsIt) {
  const auto settings = parse_nccl_conf(
      "NCCL_DEBUG=INFO\n"
      "# a comment\n"
      "#NCCL_ALGO=Ring\n"
      "NCCL_IB_HCA==mlx5_0:1\n"
      " NCCL_SPACE=1\n"
      "NCCL_DEBUG=WARN\n"
      "=nothing\n"
      "NCCL_EMPTY=",
      "/etc/nccl.conf");
  ASSERT_EQ(settings.size(), 5U);
  EXPECT_EQ(settings[0], (NcclSetting{"NCCL_DEBUG", "INFO", "/etc/nccl.conf"}));
  EXPECT_EQ(settings[1].name, "#NCCL_ALGO");
  EXPECT_EQ(settings[2], (NcclSetting{"NCCL_IB_HCA", "=mlx5_0:1", "/etc/nccl.conf"}));
  EXPECT_EQ(settings[3].name, " NCCL_SPACE") << "NCCL trims nothing";
  EXPECT_EQ(settings[4], (NcclSetting{"NCCL_EMPTY", "", "/etc/nccl.conf"}));
}

TEST_F(NcclFiles, SettingsOfTheUserComeBeforeThoseOfTheSystem) {
  write("etc/nccl.conf", "NCCL_A=system\nNCCL_B=system\n");
  write("users/ada/.nccl.conf", "NCCL_A=home\n");
  write("named.conf", "NCCL_A=named\n");
  const auto of = [&](const std::map<std::string, std::string>& environment) {
    std::string text;
    for (const NcclSetting& setting : nccl_settings(scratch(), environment)) {
      text += setting.name + "=" + setting.value + "(" + setting.file + ") ";
    }
    return text;
  };
  EXPECT_EQ(of({}), "NCCL_A=system(/etc/nccl.conf) NCCL_B=system(/etc/nccl.conf) ");
  EXPECT_EQ(of({{"HOME", "/users/ada"}}),
            "NCCL_A=home(/users/ada/.nccl.conf) NCCL_B=system(/etc/nccl.conf) ");
  EXPECT_EQ(of({{"HOME", "/users/ada"}, {"NCCL_CONF_FILE", "/named.conf"}}),
            "NCCL_A=named(/named.conf) NCCL_B=system(/etc/nccl.conf) ");
}

TEST_F(NcclFiles, OfTheEnvironmentComeFirst) {
  write("a.xml", nd_a100_v4_file());
  write("b.xml", wrong_file());
  write("etc/nccl.conf", "NCCL_TOPO_FILE=/b.xml\n");
  const auto found = look({{"NCCL_TOPO_FILE", "/a.xml"}});
  ASSERT_TRUE(found.topology);
  ASSERT_TRUE(found.file);
  EXPECT_EQ(found.file->path, "/a.xml");
  EXPECT_EQ(found.file->named_by, "NCCL_TOPO_FILE");
  EXPECT_TRUE(found.file->used);
  EXPECT_TRUE(found.file->found_by_nccl);
  ASSERT_EQ(found.notes.size(), 1U);
  EXPECT_EQ(found.notes[0].kind, Note::Kind::kInfo);
}

TEST_F(NcclFiles, OfNcclConfAreIgnoredWhenWrongAndNoOtherIsTaken) {
  write("b.xml", wrong_file());
  write("etc/nccl.conf", "NCCL_TOPO_FILE=/b.xml\n");
  write("opt/microsoft/ndv4-topo.xml", nd_a100_v4_file());
  const auto found = look();
  EXPECT_FALSE(found.topology);
  ASSERT_TRUE(found.file);
  EXPECT_FALSE(found.file->used);
  EXPECT_EQ(found.file->named_by, "/etc/nccl.conf");
  EXPECT_EQ(found.file->why_not, "it has NUMA node 2 twice");
  ASSERT_EQ(found.notes.size(), 1U);
  EXPECT_EQ(found.notes[0].kind, Note::Kind::kWarning);
  EXPECT_EQ(found.notes[0].text, "/b.xml (/etc/nccl.conf) is ignored: it has NUMA node 2 twice");
  EXPECT_THAT(found.notes[0].hint, HasSubstr("NCCL reads it all the same"));
}

TEST_F(NcclFiles, ThatCannotBeReadSayWhy) {
  EXPECT_THAT(look({{"NCCL_TOPO_FILE", "/none.xml"}}).file->why_not, HasSubstr("No such file"));
  write("bad.xml", "<system>\n<cpu numaid=''/></system>");
  EXPECT_THAT(look({{"NCCL_TOPO_FILE", "/bad.xml"}}).file->why_not, HasSubstr("line 2: "));
  EXPECT_EQ(look({{"NCCL_TOPO_FILE", ""}}).file->why_not, "its name is empty");
  const auto without_gpus = look({{"NCCL_TOPO_FILE", "/bad.xml"}}, NodeInventory{});
  EXPECT_TRUE(without_gpus.notes.empty()) << "nobody there runs NCCL";
}

TEST_F(NcclFiles, OfTheDaemonAreFoundByNcclToo) {
  write("var/run/nvidia-topologyd/virtualTopology.xml", nd_a100_v4_file());
  const auto found = look();
  ASSERT_TRUE(found.topology);
  EXPECT_TRUE(found.file->found_by_nccl);
}

TEST_F(NcclFiles, OfAzureAreTriedUntilOneHolds) {
  write("opt/microsoft/ncv4/topo.xml", wrong_file());
  write("opt/microsoft/ndv2-topo.xml", wrong_file());
  write("opt/microsoft/ndv4/topo.xml", nd_a100_v4_file());
  write("opt/microsoft/ndv5-topo.xml", wrong_file());
  const auto found = look();
  ASSERT_TRUE(found.topology);
  EXPECT_EQ(found.file->path, "/opt/microsoft/ndv4/topo.xml");
  EXPECT_FALSE(found.file->found_by_nccl);
  NodeInventory unnamed = nd_a100_v4();
  for (Gpu& gpu : unnamed.gpus) gpu.model = "";
  EXPECT_EQ(look({}, unnamed).file->path, "/opt/microsoft/ndv4/topo.xml");
}

TEST_F(NcclFiles, OfAzureThatDoNotHoldAreToldOnce) {
  write("opt/microsoft/ndv4-topo.xml", wrong_file());
  write("opt/microsoft/ndv5-topo.xml", wrong_file());
  const auto found = look();
  EXPECT_FALSE(found.topology);
  EXPECT_EQ(found.file->path, "/opt/microsoft/ndv4-topo.xml");
  EXPECT_EQ(found.notes.size(), 1U);
  EXPECT_FALSE(look({}, NodeInventory{}).file) << "not looked at without GPUs";
}

TEST_F(NcclFiles, AreNoneOnOrdinaryMachines) {
  const auto found = look();
  EXPECT_FALSE(found.file);
  EXPECT_TRUE(found.notes.empty());
  EXPECT_TRUE(found.settings.empty());
}

}  // namespace
}  // namespace muster::topology
