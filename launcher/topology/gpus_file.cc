#include "launcher/topology/gpus_file.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "launcher/topology/pci_device.h"

namespace muster::topology {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostGpus = 1024;

Failure wrong(const std::string& file, const std::string& why) {
  return fail(
      ErrorCode::kResources, "cannot use GPU file " + file + ": " + why,
      "write it as `muster topo --format json` prints \"gpus\": [{\"index\": 0, \"bus_id\": "
      "\"0000:07:00.0\", \"uuid\": \"\", \"model\": \"\", \"numa_node\": 0}]");
}

// Fields of one entry; the first wrong one is kept.
class Entry {
 public:
  explicit Entry(const Json& json) : json_(json) {}

  std::string text(const char* name) {
    const Json* value = find(name);
    if (value == nullptr) return {};
    if (value->is_string()) return value->get<std::string>();
    wrong_ = std::string(name) + " is not a text";
    return {};
  }

  int number(const char* name, int otherwise) {
    const Json* value = find(name);
    if (value == nullptr) return otherwise;
    if (value->is_number_integer() && *value >= 0 && *value < 1 << 20) return value->get<int>();
    wrong_ = std::string(name) + " is not a number from 0 on";
    return otherwise;
  }

  const std::string& wrong() const { return wrong_; }
  void set_wrong(std::string why) { wrong_ = std::move(why); }

 private:
  const Json* find(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  const Json& json_;
  std::string wrong_;
};

Gpu gpu_of(Entry& entry, int place) {
  Gpu gpu;
  gpu.visible_ordinal = entry.number("index", place);
  gpu.physical_index = gpu.visible_ordinal;
  gpu.uuid = entry.text("uuid");
  gpu.model = entry.text("model");
  gpu.numa_node = entry.number("numa_node", kUnknown);
  if (gpu.numa_node != kUnknown) gpu.locality_source = LocalitySource::kOverride;
  if (const std::string bus_id = entry.text("bus_id"); !bus_id.empty()) {
    gpu.bus_id = canonical_bus_id(bus_id);
    if (gpu.bus_id.empty()) entry.set_wrong("bus_id \"" + bus_id + "\" is no PCI address");
  }
  return gpu;
}

}  // namespace

Result<std::vector<Gpu>> parse_gpus(std::string_view text, const std::string& file_name) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return wrong(file_name, "it is not JSON");
  const Json list = json.is_object() && json.contains("gpus") ? json["gpus"] : json;
  if (!list.is_array()) return wrong(file_name, "it is not a list of GPUs");
  if (list.size() > kMostGpus) return wrong(file_name, "it has more than 1024 GPUs");
  std::vector<Gpu> gpus;
  std::set<int> ordinals;
  for (const Json& object : list) {
    const std::string which = "entry " + std::to_string(gpus.size() + 1) + ": ";
    if (!object.is_object()) return wrong(file_name, which + "it is not an object");
    Entry entry(object);
    Gpu gpu = gpu_of(entry, static_cast<int>(gpus.size()));
    if (!entry.wrong().empty()) return wrong(file_name, which + entry.wrong());
    if (!ordinals.insert(gpu.visible_ordinal).second) {
      return wrong(file_name, which + "index " + std::to_string(gpu.visible_ordinal) +
                                  " is that of an earlier one");
    }
    gpus.push_back(std::move(gpu));
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
