#include "launcher/topology/pci_device.h"

#include <gtest/gtest.h>

namespace muster::topology {
namespace {

TEST(CanonicalBusId, TakesTheWordsOfEverybody) {
  EXPECT_EQ(canonical_bus_id("0001:00:00.0"), "0001:00:00.0");
  EXPECT_EQ(canonical_bus_id("1:0:0.0"), "0001:00:00.0");
  EXPECT_EQ(canonical_bus_id("00000001:00:00.0"), "0001:00:00.0") << "NVML";
  EXPECT_EQ(canonical_bus_id("000D:0B:1F.7"), "000d:0b:1f.7");
  EXPECT_EQ(canonical_bus_id("07:00.0"), "0000:07:00.0") << "lspci";
  EXPECT_EQ(canonical_bus_id("10000:e1:00.0"), "10000:e1:00.0") << "VMD";
}

TEST(CanonicalBusId, IsEmptyForAnythingElse) {
  for (const char* text :
       {"", "pci0000:00", "0000:00", "0000:00:01", "0000:00:20.0", "0000:00:01.8", "0000:100:01.0",
        "123456789:00:00.0", "0000:00:00.0 ", "0:0:0:0.0", "x"}) {
    EXPECT_EQ(canonical_bus_id(text), "") << text;
  }
}

TEST(BusOrder, IsThatOfTheNumbers) {
  EXPECT_TRUE(bus_order("ffff:00:00.0", "10000:00:00.0"));
  EXPECT_FALSE(bus_order("10000:00:00.0", "ffff:00:00.0"));
  EXPECT_TRUE(bus_order("0000:07:00.0", "0000:0f:00.0"));
  EXPECT_FALSE(bus_order("0000:07:00.0", "0000:07:00.0"));
}

PciDevice device(int device_class, int vendor, const std::string& bus_id = "0000:07:00.0") {
  return {.bus_id = bus_id, .device_class = device_class, .vendor = vendor};
}

TEST(IsGpu, NeedsClassAndVendor) {
  EXPECT_TRUE(is_gpu(device(0x0302, 0x10de)));
  EXPECT_TRUE(is_gpu(device(0x0300, 0x10de)));
  EXPECT_TRUE(is_gpu(device(0x0380, 0x1002)));
  EXPECT_TRUE(is_gpu(device(0x1200, 0x1002))) << "MI300";
  EXPECT_TRUE(is_gpu(device(0x0380, 0x8086)));
  EXPECT_FALSE(is_gpu(device(0x0300, 0x102b))) << "a BMC's VGA (Matrox)";
  EXPECT_FALSE(is_gpu(device(0x0300, 0x1a03))) << "a BMC's VGA (ASPEED)";
  EXPECT_FALSE(is_gpu(device(0x0680, 0x10de))) << "an NVSwitch";
  EXPECT_FALSE(is_gpu(device(0x0403, 0x10de))) << "a GPU's audio function";
  EXPECT_FALSE(is_gpu(device(0x1200, 0x1da3)));
  EXPECT_FALSE(is_gpu(device(0x0300, 0x8086, "0000:00:02.0"))) << "graphics in the processor";
}

}  // namespace
}  // namespace muster::topology
