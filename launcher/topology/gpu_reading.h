// How GPUs fare at one moment: what NVML says of each.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/topology/nvml_library.h"

namespace muster::topology {

// By its UUID, as the inventory has it.  A value that the GPU does not tell is missing.
struct GpuReading {
  std::string uuid;
  unsigned index = 0;  // NVML's
  std::vector<std::pair<std::string, double>> values;

  friend bool operator==(const GpuReading&, const GpuReading&) = default;
};

// NVML's bits of "gpu.throttle_reasons".  A power cap is how a busy GPU lives; these are not.
enum ThrottleReason : unsigned {
  kThrottleHardware = 0x08,      // temperature, power brake, or too much power drawn
  kThrottleHeat = 0x20,          // by the driver
  kThrottleHeatHardware = 0x40,  // at once, by half and more
  kThrottlePowerBrake = 0x80,    // asked for by the power supply
};
// "heat", "heat, power brake"; "" when nothing slows it that should not.
std::string throttle_text(unsigned reasons);

std::vector<GpuReading> read_gpus(const nvml::Functions& nvml);

// As a line of JSON, and back; lines of anything else are no readings.
std::string to_line(const std::vector<GpuReading>& readings);
std::vector<GpuReading> readings_of(std::string_view line);

}  // namespace muster::topology
