#include "launcher/topology/inventory_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launcher/topology/discover.h"
#include "launcher/topology/inventory_json.h"

namespace muster::topology {
namespace {

using ::testing::HasSubstr;

NodeInventory restricted() {
  auto node = discover({std::string(MUSTER_TEST_DATA) + "/topologies/cpuset-2x4.xml"});
  EXPECT_TRUE(node);
  return node ? *node : NodeInventory{};
}

TEST(InventoryText, ShowsANodePerLineAndWhatIsNotOurs) {
  NodeInventory node = restricted();
  node.cpu_quota = 2.5;
  EXPECT_EQ(topology_text(node),
            "cpuset-2x4: 5 cores, 7 hardware threads, 2 NUMA nodes, 2 packages (cpuset-2x4.xml)\n"
            "  NUMA  package    memory  cores  CPUs\n"
            "     0        0  29.8 GiB      2  1-2,9-10\n"
            "     1        1  29.8 GiB      3  13-15\n"
            "  not ours to use: 9 of 16 hardware threads (cpuset or affinity mask)\n"
            "  cgroup CPU quota: 2.50 CPUs\n");
}

TEST(InventoryText, ShowsUnknownLocalityAsUnknown) {
  NodeInventory node;
  node.hostname = "vm";
  node.source = "test";
  node.cores = {{0, kUnknown, kUnknown, kUnknown, {0}}};
  node.allowed = node.present = {0};
  EXPECT_THAT(topology_text(node), HasSubstr("packages unknown"));
  EXPECT_THAT(topology_text(node), HasSubstr("     ?        ?       ?      1  0\n"));
  const auto json = nlohmann::json::parse(topology_json(node));
  EXPECT_TRUE(json["cores"][0]["numa_node"].is_null());
  EXPECT_TRUE(json["cpu_quota"].is_null());
}

TEST(InventoryJson, HoldsSetsAsLinuxLists) {
  const auto json = nlohmann::json::parse(topology_json(restricted()));
  EXPECT_EQ(json["allowed"], "1-2,9-10,13-15");
  EXPECT_EQ(json["cores"].size(), 5U);
  EXPECT_EQ(json["cores"][0]["cpus"], "1,9");
  EXPECT_EQ(json["numa_nodes"][1]["cpus"], "13-15");
}

NodeInventory with_devices() {
  NodeInventory node = restricted();
  node.gpu_source = "NVML 535.104";
  Gpu gpu;
  gpu.uuid = "GPU-1b2c3d4e-0000-1111-2222-333344445555";
  gpu.bus_id = "0000:07:00.0";
  gpu.numa_node = 1;
  gpu.package = 1;
  gpu.model = "NVIDIA A100-SXM4-40GB";
  gpu.locality_source = LocalitySource::kSysfs;
  gpu.physical_index = 2;
  gpu.memory_bytes = 40ULL << 30;
  gpu.upstream = {"0000:00:01.0", "0000:02:00.0"};
  gpu.nvlinks = {{"0000:c4:00.0", 12, true}};
  gpu.processes = {{4711, "python3", 3ULL << 30}};
  node.gpus = {gpu};
  Gpu hidden;
  hidden.visible_ordinal = kUnknown;
  hidden.uuid = "MIG-7";
  hidden.parent_uuid = "GPU-9";
  hidden.package = 0;
  hidden.gpu_instance = 3;
  hidden.compute_instance = 0;
  hidden.vendor = 0x10de;
  hidden.hidden_because = "CUDA_VISIBLE_DEVICES names others";
  node.hidden_gpus = {hidden};
  Nic nic;
  nic.name = "mlx5_0";
  nic.bus_id = "0000:0c:00.0";
  nic.numa_node = 1;
  nic.locality_source = LocalitySource::kHwloc;
  nic.kind = NicKind::kInfiniBand;
  nic.port = 1;
  nic.state = LinkState::kDown;
  nic.gigabits_per_second = 200;
  nic.interface = "ib0";
  nic.unfit = "down";
  node.nics = {nic};
  node.notes = {{Note::Kind::kWarning, "GPUs", "GPU 3 is lost", "reset it"}};
  node.nccl_file = NcclTopologyFile{"/opt/topo.xml", "NCCL_TOPO_FILE", false, "masks overlap"};
  return node;
}

TEST(InventoryText, ShowsDevicesAndWhatWasNoticed) {
  const std::string text = topology_text(with_devices());
  EXPECT_THAT(
      text,
      HasSubstr(
          "GPUs (NVML 535.104)\n"
          "     GPU  bus id        UUID           model                    memory           NUMA  "
          "NUMA by  NVLink          used by                 hidden because\n"
          "       0  0000:07:00.0  GPU-1b2c3d4e…  NVIDIA A100-SXM4-40GB  40.0 GiB              1  "
          "sysfs    12 to switches  python3 4711 (3.0 GiB)\n"
          "  hidden                MIG-7           (instance)                      ? (package 0)  "
          "unknown                                          CUDA_VISIBLE_DEVICES names others\n"));
  EXPECT_THAT(text,
              HasSubstr("NICs\n"
                        "  NIC     bus id        kind        interface  link     speed  NUMA  "
                        "NUMA by  not given to ranks\n"
                        "  mlx5_0  0000:0c:00.0  InfiniBand  ib0        down  200 Gb/s     1  "
                        "hwloc    down\n"));
  EXPECT_THAT(text, HasSubstr("notes\n"
                              "  NCCL topology file: /opt/topo.xml (from NCCL_TOPO_FILE) is not "
                              "used: masks overlap\n"
                              "  warning: GPUs: GPU 3 is lost\n"
                              "    hint: reset it\n"));
}

TEST(InventoryJson, ReadsBackWhatItPrints) {
  const NodeInventory node = with_devices();
  const Devices devices = {node.gpu_source, node.gpus,  node.hidden_gpus,
                           node.nics,       node.notes, 2.5};
  NodeInventory limited = node;
  limited.cpu_quota = 2.5;
  for (const std::string& text : {topology_json(limited), devices_json(devices)}) {
    const auto read = devices_from_json(text);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, devices);
  }
  const auto json = nlohmann::json::parse(topology_json(node));
  EXPECT_EQ(json["nccl_topology_file"]["why_not"], "masks overlap");
}

TEST(InventoryJson, NamesWhatIsWrongInAListOfDevices) {
  const auto message = [](const std::string& text) {
    const auto devices = devices_from_json(text);
    return devices ? "" : devices.error().message;
  };
  const auto of_gpu = [&](const std::string& fields) {
    return message(R"({"gpus": [{)" + fields + "}]}");
  };
  EXPECT_EQ(message("{"), "it is not JSON");
  EXPECT_EQ(message("[]"), "it is not one JSON object");
  EXPECT_EQ(message(R"({"gpus": 1})"), "\"gpus\" is not a list");
  EXPECT_EQ(message(R"({"gpus": [1]})"), "a GPU is no JSON object");
  EXPECT_EQ(message(R"({"nics": [{"port": "x"}]})"),
            "\"port\" of a NIC is not a number from 0 on, or null");
  EXPECT_EQ(of_gpu(R"("numa_node": -1)"),
            "\"numa_node\" of a GPU is not a number from 0 on, or null");
  EXPECT_EQ(of_gpu(R"("numa_node": 99999999999)"),
            "\"numa_node\" of a GPU is not a number from 0 on, or null");
  EXPECT_EQ(of_gpu(R"("bus_id": 7)"), "\"bus_id\" of a GPU is not text");
  EXPECT_EQ(of_gpu(R"("memory_bytes": 1.5)"), "\"memory_bytes\" of a GPU is not a number of bytes");
  EXPECT_EQ(of_gpu(R"("upstream": [1])"), "\"upstream\" of a GPU is not a list of texts");
  EXPECT_EQ(of_gpu(R"("nvlinks": [1])"), "\"nvlinks\" of a GPU is not a list of links");
  EXPECT_EQ(of_gpu(R"("locality_source": "magic")"),
            "\"locality_source\" of a GPU is not one of the words that muster topo prints");
  EXPECT_EQ(message("{}"), "");
}

TEST(InventoryJson, CountsGpusThatHaveNoIndex) {
  const auto devices = devices_from_json(R"({"gpus": [{"bus_id": "0001:00:00.0"}, {}]})");
  ASSERT_TRUE(devices);
  EXPECT_EQ(devices->gpus[0].visible_ordinal, 0);
  EXPECT_EQ(devices->gpus[1].visible_ordinal, 1);
  EXPECT_EQ(devices->gpus[1].numa_node, kUnknown);
}

TEST(InventoryLine, SaysTheSameInOneLineAndIsReadBack) {
  const NodeInventory node = restricted();
  const std::string line = inventory_line(node);
  EXPECT_EQ(line.find('\n'), line.npos);
  EXPECT_EQ(nlohmann::json::parse(line), nlohmann::json::parse(topology_json(node)));
  const auto read = inventory_from_json(line);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(topology_json(*read), topology_json(node));
}

}  // namespace
}  // namespace muster::topology
