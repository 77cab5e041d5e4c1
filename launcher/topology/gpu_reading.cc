#include "launcher/topology/gpu_reading.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace muster::topology {
namespace {

using Json = nlohmann::ordered_json;
using nvml::Device;
using nvml::Functions;
using nvml::kSuccess;

constexpr unsigned kMostDevices = 1024;
constexpr unsigned kMostLinks = 64;

class Values {
 public:
  void add(std::string name, double value) { all_.emplace_back(std::move(name), value); }

  // Of a function that says one number of a device; nothing when it does not.
  template <typename Number, typename Function, typename... Words>
  void ask(std::string name, double unit, Function function, Device device, Words... words) {
    Number number{};
    if (function == nullptr || function(device, words..., &number) != kSuccess) return;
    add(std::move(name), static_cast<double>(number) * unit);
  }

  std::vector<std::pair<std::string, double>> take() { return std::move(all_); }

 private:
  std::vector<std::pair<std::string, double>> all_;
};

void add_link_errors(const Functions& nvml, Device device, Values& values) {
  if (nvml.link_state == nullptr || nvml.link_errors == nullptr) return;
  bool any = false;
  double errors = 0;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    int active = 0;
    if (nvml.link_state(device, link, &active) != kSuccess) break;  // it has no more
    for (int kind = 0; active != 0 && kind < nvml::kLinkErrorKinds; ++kind) {
      unsigned long long count = 0;
      if (nvml.link_errors(device, link, kind, &count) != kSuccess) continue;
      any = true;
      errors += static_cast<double>(count);
    }
  }
  if (any) values.add("gpu.nvlink_errors", errors);
}

GpuReading read_gpu(const Functions& nvml, Device device, unsigned index) {
  Values values;
  nvml::Utilization use{};
  if (nvml.utilization != nullptr && nvml.utilization(device, &use) == kSuccess) {
    values.add("gpu.percent", use.gpu);
    values.add("gpu.memory_controller_percent", use.memory);
  }
  nvml::Memory memory{};
  if (nvml.memory != nullptr && nvml.memory(device, &memory) == kSuccess) {
    values.add("gpu.memory_used_bytes", static_cast<double>(memory.used));
    values.add("gpu.memory_total_bytes", static_cast<double>(memory.total));
  }
  values.ask<unsigned>("gpu.power_watts", 1e-3, nvml.power, device);
  values.ask<unsigned>("gpu.power_limit_watts", 1e-3, nvml.power_limit, device);
  values.ask<unsigned>("gpu.temperature_celsius", 1, nvml.temperature, device,
                       nvml::kTemperatureOfGpu);
  values.ask<unsigned>("gpu.sm_clock_mhz", 1, nvml.clock, device, nvml::kClockSm);
  values.ask<unsigned>("gpu.memory_clock_mhz", 1, nvml.clock, device, nvml::kClockMemory);
  values.ask<unsigned long long>("gpu.throttle_reasons", 1, nvml.throttle_reasons, device);
  values.ask<unsigned long long>("gpu.ecc_corrected", 1, nvml.ecc_errors, device,
                                 nvml::kEccCorrected, nvml::kEccSinceDriverStart);
  values.ask<unsigned long long>("gpu.ecc_uncorrected", 1, nvml.ecc_errors, device,
                                 nvml::kEccUncorrected, nvml::kEccSinceDriverStart);
  values.ask<unsigned>("gpu.pcie_replays", 1, nvml.pcie_replays, device);
  add_link_errors(nvml, device, values);
  return {nvml::uuid_of(nvml, device), index, values.take()};
}

}  // namespace

std::string throttle_text(unsigned reasons) {
  std::vector<std::string> words;
  if ((reasons & (kThrottleHeat | kThrottleHeatHardware)) != 0) words.emplace_back("heat");
  if ((reasons & kThrottlePowerBrake) != 0) words.emplace_back("power brake");
  // The hardware's bit also accompanies the two that say more.
  if (words.empty() && (reasons & kThrottleHardware) != 0) words.emplace_back("hardware");
  return join(words, ", ");
}

std::vector<GpuReading> read_gpus(const Functions& nvml) {
  std::vector<GpuReading> readings;
  unsigned count = 0;
  if (nvml.device_count(&count) != kSuccess) return readings;
  for (unsigned index = 0; index < std::min(count, kMostDevices); ++index) {
    Device device = nullptr;
    if (nvml.device_by_index(index, &device) != kSuccess) continue;
    GpuReading reading = read_gpu(nvml, device, index);
    if (!reading.values.empty()) readings.push_back(std::move(reading));
  }
  return readings;
}

std::string to_line(const std::vector<GpuReading>& readings) {
  Json json = Json::array();
  for (const GpuReading& reading : readings) {
    Json values = Json::object();
    for (const auto& [name, value] : reading.values) values[name] = value;
    json.push_back({{"uuid", reading.uuid}, {"index", reading.index}, {"values", values}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<GpuReading> readings_of(std::string_view line) {
  const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
  std::vector<GpuReading> readings;
  if (!json.is_array()) return readings;
  for (const Json& each : json) {
    if (!each.is_object() || !each.contains("uuid") || !each["uuid"].is_string() ||
        !each.contains("index") || !each["index"].is_number_unsigned() ||
        !each.contains("values") || !each["values"].is_object()) {
      continue;
    }
    GpuReading reading{each["uuid"].get<std::string>(), each["index"].get<unsigned>(), {}};
    for (const auto& [name, value] : each["values"].items()) {
      if (value.is_number()) reading.values.emplace_back(name, value.get<double>());
    }
    readings.push_back(std::move(reading));
  }
  return readings;
}

}  // namespace muster::topology
