// On the start path of every run: of each device its class is read, and the rest only of devices of
// a class that can be a GPU or a NIC.  A node has hundreds of others.
#include "launcher/topology/sysfs_pci.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/files.h"
#include "base/text.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

constexpr int kVirtio = 0x1af4;

std::string first_line(const fs::path& path) {
  const auto text = read_file(path, 4096);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

// "0x030200"; 0 for anything else.
int hex_number(const std::string& text) {
  if (!text.starts_with("0x")) return 0;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), number, 16);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

// -1 where the kernel was not told, which is not node 0.
Locality locality_of(const fs::path& device) {
  const auto node = parse_integer(first_line(device / "numa_node"));
  if (!node || *node < 0 || *node > 1 << 20) return {};
  return {static_cast<int>(*node), kUnknown, LocalitySource::kSysfs};
}

// Bus ids of the bridges above: "…/pci0000:00/0000:00:01.0/0000:01:00.0" ends in the device's own.
std::vector<std::string> upstream_of(const fs::path& device) {
  std::error_code error;
  const fs::path link = fs::read_symlink(device, error);
  std::vector<std::string> bridges;
  for (const fs::path& name : link.parent_path()) {
    if (std::string bus_id = canonical_bus_id(name.string()); !bus_id.empty()) {
      bridges.push_back(std::move(bus_id));
    }
  }
  return bridges;
}

std::string physical_function_of(const fs::path& device) {
  std::error_code error;
  const fs::path link = fs::read_symlink(device / "physfn", error);
  return error ? std::string() : canonical_bus_id(link.filename().string());
}

void add_names_in(const fs::path& directory, std::vector<std::string>& names) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
}

// RDMA devices and network interfaces.  A virtio NIC has its interface one level deeper.
std::vector<std::string> names_of(const fs::path& device, int vendor) {
  std::vector<std::string> names;
  add_names_in(device / "infiniband", names);
  add_names_in(device / "net", names);
  if (vendor == kVirtio) {
    std::vector<std::string> children;
    add_names_in(device, children);
    for (const std::string& child : children) {
      if (child.starts_with("virtio")) add_names_in(device / child / "net", names);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::vector<PciDevice> sysfs_pci_devices(const std::string& root) {
  std::vector<PciDevice> devices;
  std::error_code error;
  for (fs::directory_iterator entry(fs::path(root) / "sys/bus/pci/devices", error), end;
       !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    PciDevice device;
    device.device_class = hex_number(first_line(path / "class")) >> 8;
    if (!may_be_gpu(device.device_class) && !may_be_nic(device.device_class)) continue;
    device.bus_id = canonical_bus_id(path.filename().string());
    if (device.bus_id.empty()) continue;
    device.vendor = hex_number(first_line(path / "vendor"));
    device.device = hex_number(first_line(path / "device"));
    device.locality = locality_of(path);
    device.upstream = upstream_of(path);
    device.physical_function = physical_function_of(path);
    if (may_be_nic(device.device_class)) device.names = names_of(path, device.vendor);
    devices.push_back(std::move(device));
  }
  std::sort(devices.begin(), devices.end(),
            [](const PciDevice& a, const PciDevice& b) { return bus_order(a.bus_id, b.bus_id); });
  return devices;
}

}  // namespace muster::topology
