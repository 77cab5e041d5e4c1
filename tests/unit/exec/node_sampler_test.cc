#include "launcher/exec/node_sampler.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "launcher/exec/node_counters.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Monotonic = std::chrono::steady_clock::time_point;

constexpr const char* kNodes = MUSTER_TEST_DATA "/nodes/";

TEST(NodeCounters, OfAKernelThatWritesOtherThingsAreMissing) {
  for (const char* text : {"", "\n", "cpu", "cpu  1 2", "cpu a b c d e f", "intr 1 2 3 4 5 6 7"}) {
    EXPECT_FALSE(parse_cpu_ticks(text)) << text;
  }
  EXPECT_FALSE(parse_load("")) << "empty";
  EXPECT_FALSE(parse_load("much 1 2"));
  EXPECT_TRUE(parse_meminfo("MemTotal: many kB\nMemFree 12 kB\nHugePages_Total:   0\n").empty());
  EXPECT_FALSE(parse_pressure("some avg60=1.00\nfull avg10=\n").some);
  EXPECT_TRUE(parse_net_dev("Inter-| Receive\n face |bytes\n eth0: 1 2 3\n eth1: a").empty());
  EXPECT_FALSE(parse_cgroups("nonsense\n:\n").unified);
  EXPECT_TRUE(parse_pairs("oom_kill -1\nlow\nhigh 1 2\n").empty());
}

TEST(NodeCounters, CpuTimeOfAnOldKernelHasNoSteal) {
  const auto ticks = parse_cpu_ticks("cpu  10 0 10 80 0\n");
  ASSERT_TRUE(ticks);
  EXPECT_EQ(ticks->all, 100u);
  EXPECT_EQ(ticks->idle, 80u);
  EXPECT_EQ(ticks->steal, 0u);
}

TEST(NodeCounters, ControllersOfOneLineShareItsPath) {
  const CgroupPaths paths = parse_cgroups("4:cpu,cpuacct:/a:b\n0::/u\n");
  EXPECT_EQ(paths.unified, "/u");
  EXPECT_EQ(paths.controllers.at("cpuacct"), "/a:b");
}

class NodeSamplerTest : public test::ScratchTest {
 protected:
  // A copy, so that a test may let the counters grow.
  fs::path node(const std::string& name) const {
    fs::copy(kNodes + name, scratch(), fs::copy_options::recursive);
    return scratch();
  }
};

const NodeGroup* group_of(const NodeSample& sample, const std::string& label,
                          const std::string& of) {
  for (const NodeGroup& group : sample.groups) {
    if (group.label == label && group.of == of) return &group;
  }
  return nullptr;
}

std::optional<double> value_of(const NodeSample& sample, const std::string& name,
                               const std::string& label = "", const std::string& of = "") {
  const NodeGroup* group = group_of(sample, label, of);
  if (group == nullptr) return std::nullopt;
  for (const NodeValue& value : group->values) {
    if (value.name == name) return value.value;
  }
  return std::nullopt;
}

TEST_F(NodeSamplerTest, LooksAtANodeWithTheUnifiedHierarchy) {
  NodeSampler sampler(scratch(), {}, node("container-v2"));
  const NodeSample first = sampler.look({}, Monotonic(0s));
  EXPECT_FALSE(value_of(first, "cpu.percent")) << "a share needs two looks";
  EXPECT_EQ(value_of(first, "load.1m"), 2.6);
  EXPECT_EQ(value_of(first, "mem.available_bytes"), 23566144.0 * 1024);
  EXPECT_EQ(value_of(first, "swap.used_bytes"), 600000.0 * 1024);
  // The inner group has no limit of its own: what it dies of is its parent's.
  EXPECT_EQ(value_of(first, "cgroup.mem.current_bytes"), 4294967296.0);
  EXPECT_EQ(value_of(first, "cgroup.mem.limit_bytes"), 8589934592.0);
  EXPECT_EQ(value_of(first, "cgroup.mem.oom_kills"), 1);
  EXPECT_EQ(value_of(first, "cgroup.pressure.memory.full_percent"), 8);
  EXPECT_EQ(value_of(first, "pressure.cpu.some_percent"), 50.26);
  EXPECT_FALSE(value_of(first, "pressure.cpu.full_percent"));
  EXPECT_EQ(value_of(first, "pressure.io.full_percent"), 2);
  EXPECT_GT(value_of(first, "disk.run_free_bytes").value_or(0), 0);
  EXPECT_GT(value_of(first, "shm.free_bytes").value_or(0), 0);

  write("proc/stat", "cpu  1150 200 300 8100 450 0 50 100 10 0\n");
  const NodeSample second = sampler.look({}, Monotonic(10s));
  EXPECT_NEAR(value_of(second, "cpu.percent").value_or(-1), 100 * 200.0 / 350, 0.01);
  EXPECT_NEAR(value_of(second, "cpu.iowait_percent").value_or(-1), 100 * 50.0 / 350, 0.01);
  EXPECT_NEAR(value_of(second, "cpu.steal_percent").value_or(-1), 100 * 50.0 / 350, 0.01);
}

TEST_F(NodeSamplerTest, LooksAtCgroupsOfVersion1) {
  NodeSampler sampler(scratch(), {}, node("v1"));
  const NodeSample sample = sampler.look({}, Monotonic(0s));
  EXPECT_EQ(value_of(sample, "cgroup.mem.current_bytes"), 1073741824.0);
  EXPECT_EQ(value_of(sample, "cgroup.mem.limit_bytes"), 2147483648.0);
  EXPECT_EQ(value_of(sample, "cgroup.mem.oom_kills"), 4);
  EXPECT_FALSE(value_of(sample, "pressure.cpu.some_percent")) << "that kernel has none";
  EXPECT_FALSE(value_of(sample, "load.1m"));
}

TEST_F(NodeSamplerTest, InterfacesThatAreUpHaveRates) {
  NodeSampler sampler(scratch(), {}, node("container-v2"));
  const NodeSample first = sampler.look({}, Monotonic(0s));
  EXPECT_FALSE(value_of(first, "net.received_bytes_per_second", "interface", "eth0"));
  EXPECT_EQ(value_of(first, "net.errors", "interface", "eth0"), 4);
  EXPECT_EQ(value_of(first, "net.drops", "interface", "eth0"), 6);
  EXPECT_EQ(group_of(first, "interface", "lo"), nullptr);
  EXPECT_EQ(group_of(first, "interface", "ifb0"), nullptr) << "it never carried anything";
  EXPECT_EQ(group_of(first, "interface", "eth1"), nullptr) << "it is down";
  EXPECT_EQ(value_of(first, "ib.errors", "interface", "mlx5_0:1"), 3);

  write("proc/net/dev",
        "  eth0:8317526239  159522    1    2    0     0          0         0  7278075  100833    "
        "3    4    0     0       0          0\n");
  write("sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data", "2000\n");
  write("sys/class/infiniband/mlx5_0/ports/1/counters/port_xmit_data", "7\n");  // it was reset
  const NodeSample second = sampler.look({}, Monotonic(10s));
  EXPECT_EQ(value_of(second, "net.received_bytes_per_second", "interface", "eth0"), 1000);
  EXPECT_EQ(value_of(second, "net.received_packets_per_second", "interface", "eth0"), 1);
  EXPECT_EQ(value_of(second, "net.sent_bytes_per_second", "interface", "eth0"), 0);
  EXPECT_EQ(value_of(second, "ib.received_bytes_per_second", "interface", "mlx5_0:1"), 400);
  EXPECT_FALSE(value_of(second, "ib.sent_bytes_per_second", "interface", "mlx5_0:1"));
}

TEST_F(NodeSamplerTest, ManyRanksTakeTurns) {
  std::vector<RankProcess> ranks;
  for (int rank = 0; rank < 40; ++rank) ranks.push_back({rank, ::getpid()});
  ranks[3].pid = 0x7ffffff0;  // it has ended
  NodeSampler sampler(scratch(), ranks, scratch());
  std::map<std::string, int> seen;
  for (int look = 0; look < 5; ++look) {
    const NodeSample sample = sampler.look({}, Monotonic(look * 10s));
    EXPECT_LE(sample.groups.size(), 17u);
    for (const NodeGroup& group : sample.groups) ++seen[group.of];
    if (look == 0) {
      EXPECT_GT(value_of(sample, "rank.rss_bytes", "rank", "0").value_or(0), 0);
    }
  }
  EXPECT_EQ(seen.size(), 40u) << "39 ranks, and the node itself";
  EXPECT_EQ(seen["7"], 2);
}

TEST(NodeSampleWriter, WritesALineForEachGroup) {
  NodeSampleWriter writer("node-a");
  NodeSample sample;
  sample.time = std::chrono::system_clock::time_point(1764828900123ms);
  sample.groups.push_back({"", "", false, {{"cpu.percent", 12.3456}, {"load.1m", 0}}});
  sample.groups.push_back({"gpu", "3", true, {{"gpu.power_watts", 312.5}}});
  sample.groups.push_back({"interface", "eth0", false, {{"net.sent_bytes_per_second", 1e10}}});
  sample.groups.push_back({"rank", "5", true, {}});
  EXPECT_EQ(
      writer.lines(sample),
      R"({"time":1764828900.123,"node":"node-a","values":{"cpu.percent":12.35,"load.1m":0.0}})"
      "\n"
      R"({"time":1764828900.123,"node":"node-a","gpu":3,"values":{"gpu.power_watts":312.5}})"
      "\n"
      R"({"time":1764828900.123,"node":"node-a","interface":"eth0",)"
      R"("values":{"net.sent_bytes_per_second":10000000000}})"
      "\n");
}

TEST(NodeSampleWriter, WhatLastsIsWrittenWhenItChangesAndEverySoOften) {
  NodeSampleWriter writer("n");
  std::vector<int> written;
  for (int look = 0; look < 45; ++look) {
    NodeSample sample;
    sample.groups.push_back(
        {"gpu", "0", true, {{"gpu.ecc_corrected", look < 30 ? 0.0 : 1.0, true}}});
    if (!writer.lines(sample).empty()) written.push_back(look);
  }
  EXPECT_EQ(written, (std::vector<int>{0, 20, 30}));
}

TEST(NodeSampleWriter, ANodeWithMuchToSayIsLookedAtLessOften) {
  EXPECT_EQ(pause_after(1000, 10s), 10s);
  EXPECT_EQ(pause_after(2300, 10s), 10s);
  EXPECT_EQ(pause_after(4600, 10s), 20s);
  // 20 MB a day, whatever a look writes.
  for (const std::size_t bytes : {500UL, 2300UL, 5000UL, 100000UL}) {
    const double looks = 86400.0 * 1000 / static_cast<double>(pause_after(bytes, 10s).count());
    EXPECT_LE(looks * static_cast<double>(bytes), 20e6) << bytes;
  }
}

}  // namespace
}  // namespace muster::exec
