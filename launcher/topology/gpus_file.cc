#include "launcher/topology/gpus_file.h"

#include <algorithm>
#include <set>

#include "launcher/topology/inventory_json.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {
namespace {

constexpr std::size_t kMostGpus = 1024;

Failure wrong(const std::string& file, const std::string& why) {
  return fail(ErrorCode::kResources, "cannot use GPU file " + file + ": " + why,
              "write it as `muster topo --format json` prints \"gpus\": [{\"index\": 0, "
              "\"bus_id\": \"0000:07:00.0\", \"uuid\": \"\", \"model\": \"\", \"numa_node\": 0}]");
}

bool is_list(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  return start != std::string_view::npos && text[start] == '[';
}

}  // namespace

Result<std::vector<Gpu>> parse_gpus(std::string_view text, const std::string& file_name) {
  const std::string object =
      is_list(text) ? "{\"gpus\": " + std::string(text) + "}" : std::string(text);
  auto devices = devices_from_json(object);
  if (!devices) return wrong(file_name, devices.error().message);
  std::vector<Gpu> gpus = std::move(devices->gpus);
  if (gpus.empty() && object.find("\"gpus\"") == std::string::npos) {
    return wrong(file_name, "it has no list \"gpus\"");
  }
  if (gpus.size() > kMostGpus) return wrong(file_name, "it has more than 1024 GPUs");
  std::set<int> ordinals;
  for (Gpu& gpu : gpus) {
    if (!ordinals.insert(gpu.visible_ordinal).second) {
      return wrong(file_name, "two GPUs have index " + std::to_string(gpu.visible_ordinal));
    }
    const std::string bus_id = canonical_bus_id(gpu.bus_id);
    if (bus_id.empty() && !gpu.bus_id.empty()) {
      return wrong(file_name, "bus_id \"" + gpu.bus_id + "\" is no PCI address");
    }
    gpu.bus_id = bus_id;
    if (gpu.physical_index == kUnknown) gpu.physical_index = gpu.visible_ordinal;
    // Who gives the file wants it to hold.
    gpu.locality_source =
        gpu.numa_node == kUnknown ? LocalitySource::kNobody : LocalitySource::kGpusFile;
  }
  if (!ordinals.empty() && *ordinals.rbegin() >= static_cast<int>(gpus.size())) {
    return wrong(file_name,
                 "the indexes do not count from 0 to " + std::to_string(gpus.size() - 1));
  }
  std::sort(gpus.begin(), gpus.end(),
            [](const Gpu& a, const Gpu& b) { return a.visible_ordinal < b.visible_ordinal; });
  return gpus;
}

}  // namespace muster::topology
