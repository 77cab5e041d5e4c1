#include "launcher/topology/gpu_watch.h"

#include <csignal>
#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "base/process.h"
#include "tests/support/scratch.h"

namespace muster::topology {
namespace {

using namespace std::chrono_literals;

constexpr const char* kScript =
    "gpu GPU-a 00000000:07:00.0 NVIDIA_A100 42949672960 0\n"
    "gpu GPU-b 00000000:0F:00.0 NVIDIA_A100 42949672960 1\n"
    "use 0 98 40000000000 312 61\n"
    "throttle 0 36\n"
    "ecc 0 5 1\n";

class GpuWatchTest : public test::ScratchTest {
 protected:
  GpuWatch watch(const std::string& script, const std::string& library = "libfake_nvml.so") {
    ::setenv("FAKE_NVML_SCRIPT", write("script", script).c_str(), 1);
    auto started = GpuWatch::start(std::string(MUSTER_TEST_PROGRAMS) + "/" + library, 0ms, 20ms);
    EXPECT_TRUE(started);
    return std::move(*started);
  }

  static std::optional<std::vector<GpuReading>> wait_for(GpuWatch& gpus,
                                                         std::chrono::seconds patience = 30s) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
      auto told = gpus.newest();
      if (told || gpus.ended()) return told;
      std::this_thread::sleep_for(2ms);
    }
    return std::nullopt;
  }
};

std::optional<double> value_of(const GpuReading& reading, const std::string& name) {
  for (const auto& [known, value] : reading.values) {
    if (known == name) return value;
  }
  return std::nullopt;
}

TEST_F(GpuWatchTest, TellsHowGpusFareAgainAndAgain) {
  GpuWatch gpus = watch(kScript);
  for (int round = 0; round < 3; ++round) {
    const auto told = wait_for(gpus);
    ASSERT_TRUE(told);
    ASSERT_EQ(told->size(), 2u);
    const GpuReading& first = told->front();
    EXPECT_EQ(first.uuid, "GPU-a");
    EXPECT_EQ(value_of(first, "gpu.percent"), 98);
    EXPECT_EQ(value_of(first, "gpu.memory_used_bytes"), 4e10);
    EXPECT_EQ(value_of(first, "gpu.power_watts"), 312);
    EXPECT_EQ(value_of(first, "gpu.power_limit_watts"), 400);
    EXPECT_EQ(value_of(first, "gpu.temperature_celsius"), 61);
    EXPECT_EQ(value_of(first, "gpu.sm_clock_mhz"), 1410);
    EXPECT_EQ(value_of(first, "gpu.memory_clock_mhz"), 1215);
    EXPECT_EQ(value_of(first, "gpu.throttle_reasons"), 36);
    EXPECT_EQ(value_of(first, "gpu.ecc_corrected"), 5);
    EXPECT_EQ(value_of(first, "gpu.ecc_uncorrected"), 1);
    EXPECT_FALSE(value_of(told->back(), "gpu.percent")) << "the other one does not tell";
    EXPECT_TRUE(value_of(told->back(), "gpu.memory_used_bytes"));
  }
}

TEST_F(GpuWatchTest, AnOldLibraryTellsWhatItKnows) {
  GpuWatch gpus = watch(kScript, "libfake_nvml_old.so");
  const auto told = wait_for(gpus);
  ASSERT_TRUE(told);
  EXPECT_FALSE(value_of(told->front(), "gpu.percent"));
  EXPECT_TRUE(value_of(told->front(), "gpu.memory_used_bytes"));
}

TEST_F(GpuWatchTest, ADriverThatHangsIsNotWaitedFor) {
  {
    GpuWatch gpus = watch(std::string(kScript) + "hang gpu 1\n");
    std::this_thread::sleep_for(50ms);
    EXPECT_FALSE(gpus.newest());
    EXPECT_FALSE(gpus.ended());
  }
  EXPECT_TRUE(children_of_this_process().empty()) << "it is gone with its owner";
}

TEST_F(GpuWatchTest, ALibraryThatIsMissingRefusesOrCrashesEndsIt) {
  GpuWatch missing = watch("", "libnone.so");
  EXPECT_FALSE(wait_for(missing));
  EXPECT_TRUE(missing.ended());
  GpuWatch refuses = watch("init 9\n");
  EXPECT_FALSE(wait_for(refuses));
  EXPECT_TRUE(refuses.ended());
  GpuWatch crashes = watch("nonsense 0\n");
  EXPECT_FALSE(wait_for(crashes));
  EXPECT_TRUE(crashes.ended());
}

TEST(GpuReadings, AreALineAndBack) {
  const std::vector<GpuReading> readings{{"GPU-a", 1, {{"gpu.percent", 12.5}}}, {"", 2, {}}};
  const std::string line = to_line(readings);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(readings_of(line), readings);
  for (const char* text :
       {"", "{", "[1]", "{}", R"([{"uuid":1}])", R"([{"uuid":"a","index":-1,"values":{}}])"}) {
    EXPECT_TRUE(readings_of(text).empty()) << text;
  }
}

TEST(GpuReadings, ThrottlingIsNamedWhereItShouldNotBe) {
  EXPECT_EQ(throttle_text(0), "");
  EXPECT_EQ(throttle_text(0x4), "") << "a power cap is how a busy GPU lives";
  EXPECT_EQ(throttle_text(0x20 | 0x4), "heat");
  EXPECT_EQ(throttle_text(0x8 | 0x40), "heat");
  EXPECT_EQ(throttle_text(0x8), "hardware");
  EXPECT_EQ(throttle_text(0x40 | 0x80), "heat, power brake");
}

}  // namespace
}  // namespace muster::topology
