#include "launcher/topology/gpu_search.h"

#include <cstdlib>
#include <fstream>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "launcher/topology/gpu_answer.h"
#include "launcher/topology/gpu_users.h"
#include "tests/support/scratch.h"

namespace muster::topology {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kTwoGpus =
    "gpu GPU-aaaa 00000001:00:00.0 NVIDIA_A100-SXM4-40GB 42949672960 0\n"
    "gpu GPU-bbbb 00010000:3B:00.0 NVIDIA_A100-SXM4-40GB 42949672960 1\n";

std::vector<std::string> uuids(const std::vector<Gpu>& gpus) {
  std::vector<std::string> all;
  for (const Gpu& one : gpus) all.push_back(one.uuid);
  return all;
}

// A search in an empty machine, with libraries of tests/programs.
class GpuSearchTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    test::ScratchTest::SetUp();
    search_.root = (scratch() / "root").string();
    fs::create_directories(search_.root);
  }

  static std::string program(const std::string& name) {
    return std::string(MUSTER_TEST_PROGRAMS) + "/lib" + name + ".so";
  }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = fs::path(search_.root) / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  GpuFindings nvml(const std::string& script, const std::string& library = "fake_nvml") {
    const fs::path file = scratch() / "script";
    std::ofstream(file) << script;
    ::setenv("FAKE_NVML_SCRIPT", file.c_str(), 1);
    search_.environment["MUSTER_NVML_LIBRARY"] = program(library);
    return find_gpus(search_);
  }

  GpuFindings cuda(const char* devices) {
    ::setenv("FAKE_CUDA_DEVICES", devices, 1);
    search_.environment["MUSTER_CUDA_LIBRARY"] = program("fake_cuda");
    return find_gpus(search_);
  }

  void add_proc_gpu(const std::string& bus_id, int minor, const std::string& uuid,
                    const std::string& more = "") {
    write("proc/driver/nvidia/gpus/" + bus_id + "/information",
          "Model: \t\t Tesla V100-SXM2-32GB\nIRQ:   \t\t 110\nGPU UUID: \t " + uuid +
              "\nBus Type: \t PCIe\nBus Location: \t " + bus_id + "\nDevice Minor: \t " +
              std::to_string(minor) + "\n" + more);
  }

  GpuSearch search_;
};

TEST_F(GpuSearchTest, AsksNobodyWhereNothingSpeaksOfAGpu) {
  const GpuFindings found = find_gpus(search_);
  EXPECT_THAT(found.gpus, IsEmpty());
  EXPECT_THAT(found.notes, IsEmpty());
  EXPECT_EQ(found.source, "none");
}

TEST_F(GpuSearchTest, ReadsNvmlsGpusAndShutsItDown) {
  const fs::path log = scratch() / "log";
  const GpuFindings found = nvml(std::string(kTwoGpus) + "link 0 00010000:3B:00.0 4 0\n" +
                                 "link 0 0000:C5:00.0 2 2\nlog " + log.string() + "\n");
  EXPECT_EQ(found.source, "NVML 535.104.05");
  EXPECT_THAT(found.notes, IsEmpty());
  ASSERT_THAT(found.gpus, SizeIs(2));
  const Gpu& first = found.gpus[0];
  EXPECT_EQ(first.uuid, "GPU-aaaa");
  EXPECT_EQ(first.bus_id, "0001:00:00.0");
  EXPECT_EQ(first.model, "NVIDIA A100-SXM4-40GB");
  EXPECT_EQ(first.memory_bytes, 42949672960U);
  EXPECT_EQ(first.vendor, kNvidiaVendor);
  EXPECT_EQ(first.physical_index, 0);
  EXPECT_THAT(first.nvlinks,
              ElementsAre(NvLink{"10000:3b:00.0", 4, false}, NvLink{"0000:c5:00.0", 2, true}));
  EXPECT_EQ(found.gpus[1].bus_id, "10000:3b:00.0") << "a domain of more than 16 bits";
  EXPECT_EQ(found.gpus[1].visible_ordinal, 1);
  EXPECT_EQ(*read_file(log), "init\nshutdown\n");
}

TEST_F(GpuSearchTest, DoesWithoutNewerCalls) {
  const GpuFindings found = nvml(
      "gpu GPU-aaaa 0001:00:00.0 Tesla_K80 12884901888 0\nprocess 0 1 1024\n", "fake_nvml_old");
  ASSERT_THAT(found.gpus, SizeIs(1));
  EXPECT_EQ(found.gpus[0].bus_id, "0001:00:00.0");
  EXPECT_THAT(found.gpus[0].nvlinks, IsEmpty());
  ASSERT_THAT(found.gpus[0].processes, SizeIs(1));
  EXPECT_EQ(found.gpus[0].processes[0].memory_bytes, 1024U);
  EXPECT_THAT(found.notes, IsEmpty());
}

TEST_F(GpuSearchTest, PutsInstancesInPlaceOfTheirGpu) {
  const GpuFindings found =
      nvml(std::string(kTwoGpus) + "mig 0 MIG-e1 7 0 5368709120\nmig 0 MIG-e2 8 0 5368709120\n");
  EXPECT_THAT(uuids(found.gpus), ElementsAre("MIG-e1", "MIG-e2", "GPU-bbbb"));
  const Gpu& instance = found.gpus[1];
  EXPECT_TRUE(instance.is_instance());
  EXPECT_EQ(instance.parent_uuid, "GPU-aaaa");
  EXPECT_EQ(instance.bus_id, "0001:00:00.0");
  EXPECT_EQ(instance.gpu_instance, 8);
  EXPECT_EQ(instance.compute_instance, 0);
  EXPECT_EQ(instance.memory_bytes, 5368709120U);
  EXPECT_EQ(instance.model, "NVIDIA A100-SXM4-40GB MIG 1g.5gb");
}

TEST_F(GpuSearchTest, LeavesAGpuWithoutInstancesOut) {
  const GpuFindings found = nvml(std::string(kTwoGpus) + "mig_on 0\n");
  EXPECT_THAT(uuids(found.gpus), ElementsAre("GPU-bbbb"));
  ASSERT_THAT(found.notes, SizeIs(1));
  EXPECT_THAT(found.notes[0].text,
              HasSubstr("GPU 0001:00:00.0 (the driver's number 0) is left out: it is in MIG mode"));
}

TEST_F(GpuSearchTest, LeavesABrokenGpuOutAndSaysSo) {
  for (const char* how : {"error 0 15\n", "no_handle 0 15\n"}) {
    const GpuFindings found = nvml(std::string(kTwoGpus) + how);
    EXPECT_THAT(uuids(found.gpus), ElementsAre("GPU-bbbb")) << how;
    ASSERT_THAT(found.notes, SizeIs(1)) << how;
    EXPECT_EQ(found.notes[0].kind, Note::Kind::kWarning);
    EXPECT_THAT(found.notes[0].text,
                AllOf(HasSubstr("number 0"), HasSubstr("NVML says \"GPU is lost\""),
                      HasSubstr("CUDA_VISIBLE_DEVICES are the driver's")));
    EXPECT_THAT(found.left_out, ElementsAre(0)) << how;
  }
}

TEST_F(GpuSearchTest, TakesNvmlsWordOnWhereAGpuIs) {
  write("sys/devices/system/node/node0/cpulist", "0-63\n");
  write("sys/devices/system/node/node1/cpulist", "64-127\n");
  const GpuFindings found =
      nvml(std::string(kTwoGpus) + "near_node 0 1\nnear_cpu 0 3\nnear_cpu 1 64\nnear_cpu 1 127\n");
  ASSERT_THAT(found.gpus, SizeIs(2));
  for (const Gpu& gpu : found.gpus) {
    EXPECT_EQ(gpu.numa_node, 1) << gpu.uuid;
    EXPECT_EQ(gpu.locality_source, LocalitySource::kNvml);
  }
  for (const char* all_are_near :
       {"", "near_node 0 0\nnear_node 0 1\n", "near_cpu 0 0\nnear_cpu 0 64\n"}) {
    const GpuFindings untold = nvml(std::string(kTwoGpus) + all_are_near);
    EXPECT_EQ(untold.gpus.at(0).numa_node, kUnknown) << all_are_near;
    EXPECT_EQ(untold.gpus.at(0).locality_source, LocalitySource::kNobody);
  }
}

TEST_F(GpuSearchTest, TellsWhoUsesAGpu) {
  const std::string own = std::to_string(::getpid());
  std::string script = std::string(kTwoGpus) + "process 1 " + own + " 1000\n";
  for (int other = 0; other < 200; ++other) script += "process 0 4194304 5\n";  // no such process
  const GpuFindings found = nvml(script);
  ASSERT_THAT(found.gpus, SizeIs(2));
  EXPECT_THAT(found.gpus[0].processes, SizeIs(200));
  EXPECT_EQ(found.gpus[0].processes[0].name, "");
  EXPECT_THAT(found.gpus[1].processes, ElementsAre(GpuProcess{::getpid(), "topology_test", 1000}));
}

TEST_F(GpuSearchTest, ToldThatThereIsNoneItIsSo) {
  const GpuFindings found = nvml("driver 550.1\n");
  EXPECT_THAT(found.gpus, IsEmpty());
  EXPECT_THAT(found.notes, IsEmpty());
  EXPECT_EQ(found.source, "NVML 550.1");
}

TEST_F(GpuSearchTest, SaysWhyNvmlRefuses) {
  struct Case {
    const char* init;
    const char* text;
    const char* hint;
  };
  for (const Case& each : {Case{"init 9\n", "Driver Not Loaded", "modprobe nvidia"},
                           Case{"init 4\n", "Insufficient Permissions", "ls -l /dev/nvidia*"},
                           Case{"init 18\n", "version mismatch", "load its new module"}}) {
    const GpuFindings found = nvml(each.init);
    EXPECT_THAT(found.gpus, IsEmpty());
    ASSERT_FALSE(found.notes.empty());
    EXPECT_THAT(found.notes[0].text, HasSubstr(each.text));
    EXPECT_THAT(found.notes[0].hint, HasSubstr(each.hint));
    EXPECT_EQ(found.source, "none");
  }
  write("proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC\n");
  EXPECT_THAT(nvml("init 18\n").notes[0].text, HasSubstr("535.54.03"));
  EXPECT_THAT(nvml("init 9\n").notes[0].hint, HasSubstr("its device nodes are not here"));
}

TEST_F(GpuSearchTest, DoesNotWaitForADriverThatHangs) {
  search_.patience = 300ms;
  for (const char* how : {"hang init\n", "hang gpu 1\n"}) {
    const GpuFindings found = nvml(std::string(kTwoGpus) + how);
    EXPECT_THAT(found.gpus, IsEmpty()) << how;
    ASSERT_THAT(found.notes, SizeIs(1)) << how;
    EXPECT_THAT(found.notes[0].text, HasSubstr("no answer in 300 ms"));
  }
}

TEST_F(GpuSearchTest, TakesGpusFromProcWhenNvmlHangs) {
  search_.patience = 300ms;
  add_proc_gpu("0000:3b:00.0", 0, "GPU-aaaa");
  write("dev/nvidia0", "");
  const GpuFindings found = nvml("hang init\n");
  EXPECT_THAT(uuids(found.gpus), ElementsAre("GPU-aaaa"));
  EXPECT_EQ(found.source, "/proc/driver/nvidia");
}

TEST_F(GpuSearchTest, SurvivesALibraryThatIsNone) {
  search_.environment["MUSTER_NVML_LIBRARY"] = program("fake_cuda");
  const GpuFindings found = find_gpus(search_);
  EXPECT_THAT(found.gpus, IsEmpty());
  ASSERT_FALSE(found.notes.empty());
  EXPECT_THAT(found.notes[0].text,
              AllOf(HasSubstr("cannot be used"), HasSubstr("lacks NVML's functions")));
  EXPECT_THAT(found.notes[0].hint, HasSubstr("NVIDIA_DRIVER_CAPABILITIES=compute,utility"));
}

TEST_F(GpuSearchTest, SurvivesALibraryThatCrashes) {
  const GpuFindings found = nvml("gpu GPU-a 0001:00:00.0 A 1 0\nnonsense 0\n");
  EXPECT_THAT(found.gpus, IsEmpty());
  ASSERT_FALSE(found.notes.empty());
  EXPECT_THAT(found.notes[0].text, HasSubstr("killed by SIGABRT"));
}

TEST_F(GpuSearchTest, TakesCudasGpusWhereNvmlIsMissing) {
  ::setenv("CUDA_VISIBLE_DEVICES", "1", 1);  // must not reach the question
  const GpuFindings found =
      cuda("0000:3B:00.0 Tesla V100-SXM2-16GB;0001:AF:00.0 Tesla V100-SXM2-16GB");
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(found.source, "CUDA");
  EXPECT_FALSE(found.instances_known);
  ASSERT_THAT(found.gpus, SizeIs(2));
  EXPECT_EQ(found.gpus[1].bus_id, "0001:af:00.0");
  EXPECT_EQ(found.gpus[1].model, "Tesla V100-SXM2-16GB");
  EXPECT_EQ(found.gpus[1].uuid, "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f");
  EXPECT_EQ(found.gpus[1].memory_bytes, std::uint64_t{16} << 30);
  ASSERT_THAT(found.notes, SizeIs(1));
  EXPECT_THAT(found.notes[0].hint, HasSubstr("utility"));
}

TEST_F(GpuSearchTest, ReadsProcWhereBothLibrariesAreSilent) {
  add_proc_gpu("0000:3b:00.0", 1, "GPU-" + std::string(36, '?'));
  add_proc_gpu("0000:af:00.0", 0, "GPU-bbbb");
  add_proc_gpu("0000:d8:00.0", 2, "GPU-cccc");
  add_proc_gpu("0000:d9:00.0", 3, "GPU-dddd", "GPU Excluded:\t Yes\n");
  for (const char* node : {"dev/nvidia0", "dev/nvidia1", "dev/nvidia3", "dev/nvidiactl"}) {
    write(node, "");
  }
  write("sys/module/nvidia/version", "470.57.02\n");
  const GpuFindings found = cuda("error 803");
  EXPECT_EQ(found.source, "/proc/driver/nvidia 470.57.02");
  EXPECT_THAT(uuids(found.gpus), ElementsAre("", "GPU-bbbb"));
  EXPECT_EQ(found.gpus[0].bus_id, "0000:3b:00.0");
  EXPECT_EQ(found.gpus[0].model, "Tesla V100-SXM2-32GB");
  EXPECT_EQ(found.gpus[0].physical_index, 1) << "the number of its device node";
  ASSERT_THAT(found.notes, SizeIs(4));
  EXPECT_THAT(found.notes[1].text, HasSubstr("system has unsupported display driver"));
  EXPECT_THAT(found.notes[2].text, HasSubstr("0000:d8:00.0 is left out: /dev/nvidia2 is not here"));
  EXPECT_THAT(found.notes[3].text, HasSubstr("told to exclude it"));
}

PciDevice on_the_bus(const std::string& bus_id, int vendor, int device_class = 0x0302) {
  PciDevice device;
  device.bus_id = bus_id;
  device.vendor = vendor;
  device.device = 0x740f;
  device.device_class = device_class;
  return device;
}

TEST_F(GpuSearchTest, SaysThatAGpuOnTheBusHasNoDriver) {
  search_.pci = {on_the_bus("0000:3b:00.0", kNvidiaVendor)};
  const GpuFindings found = find_gpus(search_);
  EXPECT_THAT(found.gpus, IsEmpty());
  ASSERT_THAT(found.notes, SizeIs(1));
  EXPECT_THAT(found.notes[0].text, HasSubstr("1 GPU of NVIDIA on the PCI bus (0000:3b:00.0)"));
}

TEST_F(GpuSearchTest, NamesGpusOnTheBusThatNvmlDoesNotShow) {
  search_.pci = {on_the_bus("0001:00:00.0", kNvidiaVendor),
                 on_the_bus("0002:00:00.0", kNvidiaVendor)};
  const GpuFindings found = nvml("gpu GPU-aaaa 00000001:00:00.0 A100 1 0\n");
  EXPECT_THAT(uuids(found.gpus), ElementsAre("GPU-aaaa"));
  ASSERT_THAT(found.notes, SizeIs(1));
  EXPECT_THAT(found.notes[0].text, HasSubstr("0002:00:00.0; the driver does not show it to us"));
}

TEST_F(GpuSearchTest, TakesAmdsFromTheBusWhereRocmCouldRun) {
  search_.pci = {on_the_bus("0000:29:00.0", kAmdVendor, 0x0380),
                 on_the_bus("0000:2c:00.0", kAmdVendor, 0x0380)};
  EXPECT_THAT(find_gpus(search_).gpus, IsEmpty());
  EXPECT_THAT(find_gpus(search_).notes[0].text, HasSubstr("/dev/kfd is not here"));
  write("dev/kfd", "");
  const GpuFindings found = find_gpus(search_);
  ASSERT_THAT(found.gpus, SizeIs(2));
  EXPECT_EQ(found.gpus[1].bus_id, "0000:2c:00.0");
  EXPECT_EQ(found.gpus[1].model, "AMD GPU 1002:740f");
  EXPECT_EQ(found.source, "PCI bus (AMD)");
}

TEST_F(GpuSearchTest, OrdersAndNamesAmdsAsTheKernelDoes) {
  search_.pci = {on_the_bus("0000:29:00.0", kAmdVendor, 0x0380),
                 on_the_bus("0001:2c:00.0", kAmdVendor, 0x0380)};
  write("dev/kfd", "");
  const std::string nodes = "sys/class/kfd/kfd/topology/nodes/";
  write(nodes + "0/properties", "cpu_cores_count 64\nsimd_count 0\nlocation_id 0\n");
  write(nodes + "1/properties",
        "simd_count 440\nlocation_id 11264\ndomain 1\nunique_id 5417190446270247802\n");
  write(nodes + "2/properties", "simd_count 440\nlocation_id 10496\ndomain 0\nunique_id 1\n");
  const GpuFindings found = find_gpus(search_);
  EXPECT_THAT(uuids(found.gpus), ElementsAre("GPU-4b2dba026693f37a", "GPU-0000000000000001"));
  EXPECT_EQ(found.gpus[0].bus_id, "0001:2c:00.0");
}

TEST_F(GpuSearchTest, TakesEachPartitionOfAmdsAsAGpu) {
  search_.pci = {on_the_bus("0000:29:00.0", kAmdVendor, 0x0380),
                 on_the_bus("0000:2c:00.0", kAmdVendor, 0x0380)};
  write("dev/kfd", "");
  const std::string nodes = "sys/class/kfd/kfd/topology/nodes/";
  // Newer kernels put the partition's number into the upper bits, older ones into the function.
  write(nodes + "10/properties", "simd_count 152\nlocation_id 268446720\nunique_id 8\n");
  write(nodes + "9/properties", "simd_count 152\nlocation_id 11264\nunique_id 7\n");
  write(nodes + "2/properties", "simd_count 152\nlocation_id 10497\nunique_id 5\n");
  write(nodes + "1/properties", "simd_count 152\nlocation_id 10496\nunique_id 5\n");
  const GpuFindings found = find_gpus(search_);
  EXPECT_THAT(uuids(found.gpus),
              ElementsAre("", "", "GPU-0000000000000007", "GPU-0000000000000008"));
  EXPECT_EQ(found.gpus[1].bus_id, "0000:29:00.0");
  EXPECT_EQ(found.gpus[2].bus_id, "0000:2c:00.0");
  EXPECT_EQ(found.gpus[3].bus_id, "0000:2c:00.0");
  EXPECT_EQ(found.gpus[3].physical_index, 3);
  EXPECT_THAT(found.notes.at(0).text,
              HasSubstr("2 GPUs of AMD found on the PCI bus, partitioned into 4"));
}

TEST_F(GpuSearchTest, UsersAreKnownByGpuAndByInstance) {
  nvml(std::string(kTwoGpus) +
       "mig 0 MIG-e1 7 0 5\nprocess MIG-e1 11 1\nprocess 1 12 1\nprocess 1 13 1\n");
  const GpuUsers users = gpu_users(5s, search_.environment);
  EXPECT_EQ(users, (GpuUsers{{"MIG-e1", {11}}, {"GPU-bbbb", {12, 13}}}));
  nvml(std::string(kTwoGpus) + "init 4\n");
  EXPECT_THAT(gpu_users(5s, search_.environment), IsEmpty());
  search_.patience = 10ms;
  nvml("hang init\n");
  EXPECT_THAT(gpu_users(50ms, search_.environment), IsEmpty());
}

TEST(GpuAnswerText, ComesBackAsItWas) {
  GpuAnswer answer;
  answer.outcome = GpuAnswer::Outcome::kFailed;
  answer.status = 15;
  answer.error = "no \xff UTF-8";
  answer.version = "1";
  Gpu gpu;
  gpu.uuid = "MIG-e1";
  gpu.parent_uuid = "GPU-a";
  gpu.gpu_instance = 7;
  gpu.numa_node = 3;
  gpu.locality_source = LocalitySource::kNvml;
  answer.left_out = {1, 4};
  gpu.nvlinks = {{"0000:01:00.0", 2, true}};
  gpu.processes = {{5, "python3", 9}};
  answer.gpus = {gpu};
  answer.notes = {{Note::Kind::kWarning, "GPUs", "text", "hint"}};
  auto again = gpu_answer_of(to_text(answer));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->error, "no \xef\xbf\xbd UTF-8");
  again->error = answer.error;
  EXPECT_EQ(*again, answer);
  EXPECT_EQ(gpu_answer_of("{}"), std::nullopt);
}

}  // namespace
}  // namespace muster::topology
