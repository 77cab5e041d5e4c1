#include "launcher/report/node_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::report {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

constexpr plan::WallTime kNow(1000s);

std::vector<std::string> shown(std::string_view text) {
  std::map<std::string, NodeView> nodes;
  take_node_lines(text, nodes);
  std::vector<NodeView> views;
  for (const auto& [name, node] : nodes) views.push_back(node);
  return node_lines(views, kNow);
}

TEST(NodeView, IsALineForANodeAndEachGpu) {
  EXPECT_THAT(
      shown(R"({"time":980,"node":"a","values":{"mem.total_bytes":68719476736,"cpu.percent":5}}
{"time":990,"node":"a","values":{"cpu.percent":87.4,"cpu.iowait_percent":3,"load.1m":63.14,"mem.available_bytes":12884901888,"pressure.memory.some_percent":12,"pressure.io.some_percent":0.5}}
{"time":990,"node":"a","gpu":0,"values":{"gpu.percent":98,"gpu.memory_used_bytes":1073741824,"gpu.power_watts":312}}
{"time":990,"node":"a","rank":0,"values":{"rank.cpu_percent":1}}
)"),
      ElementsAre("  node       a: CPU 87% (I/O wait 3%), load 63.1; memory 52.0 GiB of 64.0 GiB; "
                  "pressure: memory 12%",
                  "  gpu 0      98%, 1.0 GiB, 312 W"));
}

TEST(NodeView, MarksGpusThatSufferAndTellsOldNews) {
  EXPECT_THAT(shown(R"({"time":900,"node":"a","values":{"cpu.percent":5}}
{"time":900,"node":"b","values":{"cpu.percent":6}}
{"time":990,"node":"b","gpu":1,"values":{"gpu.percent":3,"gpu.throttle_reasons":36}}
{"time":990,"node":"b","gpu":2,"values":{"gpu.percent":3,"gpu.ecc_corrected":4,"gpu.ecc_uncorrected":1}}
{"time":990,"node":"b","gpu":3,"values":{"gpu.percent":3,"gpu.ecc_corrected":4,"gpu.throttle_reasons":4}}
)"),
              ElementsAre("  node       a: CPU 5% (1 min 40 s ago)", "  node       b: CPU 6%",
                          "! gpu 1 of b 3%, slowed down (heat)",
                          "! gpu 2 of b 3%, 1 uncorrected ECC error, 4 corrected ECC errors",
                          "  gpu 3 of b 3%, 4 corrected ECC errors"));
}

TEST(NodeView, PassesOverWhatIsNone) {
  EXPECT_TRUE(shown("\n{\n[1]\n{\"time\":1}\n{\"time\":1,\"node\":\"a\",\"values\":3}\n").empty());
  EXPECT_TRUE(shown(R"({"time":1,"node":"a","values":{"cpu.percent":1}})").empty())
      << "a line that is not whole yet";
  std::map<std::string, NodeView> nodes;
  take_node_lines("{\"time\":1,\"node\":\"\\u001b[2J\",\"values\":{\"cpu.percent\":\"x\"}}\n",
                  nodes);
  EXPECT_EQ(nodes.begin()->second.values.size(), 0u);
  EXPECT_EQ(node_lines({nodes.begin()->second}, plan::WallTime(1s)).front().find('\x1b'),
            std::string::npos);
}

}  // namespace
}  // namespace muster::report
