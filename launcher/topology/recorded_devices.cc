#include "launcher/topology/recorded_devices.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "launcher/topology/network_devices.h"

namespace muster::topology {
namespace {

constexpr int kAmazon = 0x1d0f;
constexpr int kInfiniBandController = 0x0207;  // the class that Mellanox's cards have

std::string fact(const OsDevice& device, const std::string& name) {
  const auto found = device.facts.find(name);
  return found == device.facts.end() ? std::string() : found->second;
}

// "nvml3" and "rsmi3" are number 3 of their driver's list, "ze0.1" is a part of number 0.
// Of "cuda3" the number follows CUDA_VISIBLE_DEVICES, and of "card3" the kernel's whim.
std::optional<int> driver_number(const OsDevice& device) {
  for (const std::string_view prefix : {"nvml", "rsmi", "ze"}) {
    if (!device.name.starts_with(prefix)) continue;
    const auto number = parse_integer(device.name.substr(prefix.size()));
    if (number && *number >= 0 && *number < 1 << 20) return static_cast<int>(*number);
  }
  return std::nullopt;
}

std::string uuid_of(const OsDevice& device) {
  const std::string nvidia = fact(device, "NVIDIAUUID");
  return nvidia.empty() ? fact(device, "AMDUUID") : nvidia;
}

// In KiB, as hwloc writes it, newer ones with the unit behind it.
std::uint64_t memory_of(const OsDevice& device) {
  for (const char* name : {"CUDAGlobalMemorySize", "RSMIVRAMSize", "LevelZeroHBMSize"}) {
    const std::string size = fact(device, name);
    const auto kilobytes = parse_integer(size.substr(0, size.find('K')));
    if (kilobytes && *kilobytes > 0 && *kilobytes < std::int64_t{1} << 40) {
      return static_cast<std::uint64_t>(*kilobytes) * 1024;
    }
  }
  return 0;
}

// What any of the drivers told of it.
void add_facts(const RecordedDevice& device, Gpu& gpu) {
  for (const OsDevice& os_device : device.os_devices) {
    if (gpu.uuid.empty()) gpu.uuid = uuid_of(os_device);
    if (gpu.model.empty()) gpu.model = fact(os_device, "GPUModel");
    if (gpu.memory_bytes == 0) gpu.memory_bytes = memory_of(os_device);
  }
}

Gpu gpu_of(const RecordedDevice& device) {
  Gpu gpu;
  gpu.bus_id = device.pci.bus_id;
  gpu.vendor = device.pci.vendor;
  gpu.upstream = device.pci.upstream;
  return gpu;
}

NicKind kind_of(const PciDevice& pci, bool is_rdma) {
  if (pci.device_class == kInfiniBandController) return NicKind::kInfiniBand;
  if (!is_rdma) return NicKind::kEthernet;
  if (pci.vendor == kAmazon) return NicKind::kEfa;
  return pci.device_class == 0x0200 ? NicKind::kRoce : NicKind::kOther;
}

// "4" of "Port1State" is what the verbs library calls active.
LinkState state_of(const OsDevice& device, int port) {
  const std::string state = fact(device, "Port" + std::to_string(port) + "State");
  if (state.empty()) return LinkState::kUntold;
  return state.starts_with('4') ? LinkState::kActive : LinkState::kDown;
}

Nic nic_of(const RecordedDevice& device, const OsDevice& os_device) {
  Nic nic;
  nic.name = os_device.name;
  nic.bus_id = device.pci.bus_id;
  nic.upstream = device.pci.upstream;
  nic.kind = kind_of(device.pci, os_device.kind == OsDevice::Kind::kRdma);
  return nic;
}

// One for each port; hwloc tells of ports only where it could ask.
void add_rdma(const RecordedDevice& device, const OsDevice& os_device, std::vector<Nic>& nics) {
  constexpr int kMostPorts = 16;
  std::vector<std::string> interfaces;
  for (const OsDevice& other : device.os_devices) {
    if (other.kind == OsDevice::Kind::kNetwork) interfaces.push_back(other.name);
  }
  for (int port = 1; port <= kMostPorts; ++port) {
    const LinkState state = state_of(os_device, port);
    if (port > 1 && state == LinkState::kUntold) break;
    Nic nic = nic_of(device, os_device);
    nic.port = port;
    nic.state = state;
    const auto place = static_cast<std::size_t>(port) - 1;
    if (place < interfaces.size()) nic.interface = interfaces[place];
    nics.push_back(std::move(nic));
  }
}

}  // namespace

std::vector<Gpu> recorded_gpus(const std::vector<RecordedDevice>& devices) {
  std::vector<Gpu> gpus;
  for (const RecordedDevice& device : devices) {
    if (!is_gpu(device.pci)) continue;
    const std::size_t before = gpus.size();
    for (const OsDevice& os_device : device.os_devices) {
      const auto number = driver_number(os_device);
      if (!number) continue;
      Gpu gpu = gpu_of(device);
      gpu.physical_index = *number;
      gpu.uuid = uuid_of(os_device);
      gpu.model = fact(os_device, "GPUModel");
      gpus.push_back(std::move(gpu));
    }
    if (gpus.size() == before) gpus.push_back(gpu_of(device));
    if (gpus.size() == before + 1) add_facts(device, gpus.back());
  }
  const auto order = [](const Gpu& gpu) {
    return gpu.physical_index == kUnknown ? std::numeric_limits<int>::max() : gpu.physical_index;
  };
  std::stable_sort(gpus.begin(), gpus.end(), [&](const Gpu& a, const Gpu& b) {
    if (order(a) != order(b)) return order(a) < order(b);
    return bus_order(a.bus_id, b.bus_id);
  });
  int ordinal = 0;
  for (Gpu& gpu : gpus) gpu.visible_ordinal = ordinal++;
  return gpus;
}

std::vector<Nic> recorded_nics(const std::vector<RecordedDevice>& devices) {
  std::vector<Nic> nics;
  for (const RecordedDevice& device : devices) {
    bool has_rdma = false;
    for (const OsDevice& os_device : device.os_devices) {
      if (os_device.kind != OsDevice::Kind::kRdma) continue;
      has_rdma = true;
      add_rdma(device, os_device, nics);
    }
    if (has_rdma) continue;
    for (const OsDevice& os_device : device.os_devices) {
      if (os_device.kind == OsDevice::Kind::kNetwork) nics.push_back(nic_of(device, os_device));
    }
  }
  std::sort(nics.begin(), nics.end(), [](const Nic& a, const Nic& b) {
    if (a.is_rdma() != b.is_rdma()) return a.is_rdma();
    if (a.name != b.name) return natural_less(a.name, b.name);
    return std::tie(a.port, a.bus_id) < std::tie(b.port, b.bus_id);
  });
  return nics;
}

}  // namespace muster::topology
