#include "launcher/topology/export.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include <fmt/format.h>

#include "base/xml_text.h"
#include "launcher/topology/hwloc_source.h"
#include "launcher/topology/inventory_json.h"

namespace muster::topology {
namespace {

// A list of what may stay, because nobody knows all names that drivers and vendors think of.
constexpr std::array<std::string_view, 18> kHarmless = {"Architecture",
                                                        "Backend",
                                                        "CPUFamilyNumber",
                                                        "CPUModel",
                                                        "CPUModelNumber",
                                                        "CPUStepping",
                                                        "CPUVendor",
                                                        "ClusterMode",
                                                        "DMIBoardName",
                                                        "DMIBoardVendor",
                                                        "DMIProductName",
                                                        "DMISysVendor",
                                                        "Inclusive",
                                                        "MemoryMode",
                                                        "OSName",
                                                        "OSRelease",
                                                        "SyntheticDescription",
                                                        "hwlocVersion"};

// The value of an attribute of one tag, as it is written; "" where it has none.
std::string attribute(std::string_view tag, std::string_view name) {
  const std::string key = " " + std::string(name) + "=\"";
  const std::size_t at = tag.find(key);
  if (at == std::string_view::npos) return "";
  const std::size_t first = at + key.size();
  return std::string(tag.substr(first, tag.find('"', first) - first));
}

std::string without_attribute(std::string tag, std::string_view name) {
  const std::string key = " " + std::string(name) + "=\"";
  const std::size_t at = tag.find(key);
  if (at == std::string::npos) return tag;
  const std::size_t end = tag.find('"', at + key.size());
  return tag.erase(at, end == std::string::npos ? end : end + 1 - at);
}

// Where the tag that begins at `at` ends: behind its '>', which may also stand in a value.
std::size_t end_of_tag(const std::string& xml, std::size_t at) {
  bool quoted = false;
  for (; at < xml.size(); ++at) {
    if (xml[at] == '"') quoted = !quoted;
    if (xml[at] == '>' && !quoted) return at + 1;
  }
  return at;
}

// Other UUIDs for the same things: "GPU-00000000-0000-0000-0000-000000000001".
class Pseudonyms {
 public:
  void replace(std::string& uuid) {
    if (uuid.empty()) return;
    const auto [found, is_new] = names_.emplace(uuid, names_.size() + 1);
    const std::string kind = uuid.starts_with("MIG-") ? "MIG" : "GPU";
    uuid = fmt::format("{}-00000000-0000-0000-0000-{:012x}", kind, found->second);
  }

 private:
  std::map<std::string, std::size_t> names_;
};

// "enx0011aabbccdd" is a MAC address.
void replace_mac_name(std::string& name, std::size_t number) {
  const bool is_mac = name.size() == 15 && name.starts_with("enx") &&
                      std::all_of(name.begin() + 3, name.end(),
                                  [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (is_mac) name = "enx" + std::to_string(number);
}

Devices harmless(const NodeInventory& inventory) {
  Devices devices = {
      inventory.gpu_source, inventory.gpus, inventory.hidden_gpus, inventory.nics, {},
      inventory.cpu_quota};
  Pseudonyms pseudonyms;
  for (auto* gpus : {&devices.gpus, &devices.hidden_gpus}) {
    for (Gpu& gpu : *gpus) {
      pseudonyms.replace(gpu.uuid);
      pseudonyms.replace(gpu.parent_uuid);
      gpu.processes.clear();
      // What the caller wrote may name a UUID.
      if (!gpu.hidden_because.empty()) gpu.hidden_because = "not visible where this was exported";
    }
  }
  for (std::size_t i = 0; i < devices.nics.size(); ++i) {
    replace_mac_name(devices.nics[i].name, i);
    replace_mac_name(devices.nics[i].interface, i);
  }
  return devices;
}

}  // namespace

std::string without_secrets(const std::string& xml, ExportName name) {
  std::string clean;
  std::size_t at = 0;
  while (at < xml.size()) {
    const std::size_t open = std::min(xml.find('<', at), xml.size());
    clean.append(xml, at, open - at);
    if (open == xml.size()) break;
    const std::size_t end = end_of_tag(xml, open);
    std::string tag = xml.substr(open, end - open);
    at = end;
    if (tag.starts_with("<info ")) {
      const std::string fact = attribute(tag, "name");
      const bool harmless = std::find(kHarmless.begin(), kHarmless.end(), fact) != kHarmless.end();
      if (!harmless && !(fact == "HostName" && name == ExportName::kHostname)) {
        // With its line: the blanks before it, and the end of line behind it.
        clean.erase(clean.find_last_not_of(" \t") + 1);
        if (at < xml.size() && xml[at] == '\n') ++at;
        continue;
      }
    }
    if (tag.starts_with("<object ")) tag = without_attribute(std::move(tag), "name");
    clean += tag;
  }
  return clean;
}

std::string with_machine_fact(const std::string& xml, const std::string& name,
                              const std::string& value) {
  const std::size_t machine = xml.find("<object type=\"Machine\"");
  if (machine == std::string::npos) return xml;
  const std::size_t end = end_of_tag(xml, machine);
  return xml.substr(0, end) +
         fmt::format("\n    <info name=\"{}\" value=\"{}\"/>", xml_escaped(name),
                     xml_escaped(value)) +
         xml.substr(end);
}

Result<std::string> exported_topology(const std::string& xml_file, const NodeInventory& inventory,
                                      ExportName name) {
  std::vector<int> memory;
  for (const NumaNode& node : inventory.numa_nodes) {
    if (node.memory_allowed) memory.push_back(node.os_index);
  }
  MUSTER_TRY_ASSIGN(std::string xml,
                    hwloc_xml(xml_file, inventory.allowed, CpuSet::from_vector(memory)));
  xml = without_secrets(xml, name);
  if (name == ExportName::kHostname && xml.find("name=\"HostName\"") == std::string::npos) {
    xml = with_machine_fact(xml, "HostName", inventory.hostname);
  }
  return with_machine_fact(xml, kDevicesFact, devices_json(harmless(inventory)));
}

}  // namespace muster::topology
