// Read with yaml-cpp's events, which know the place of keys and see one that stands twice.  The
// file has three levels of mappings and nothing else, so all other YAML is refused where it stands.
#include "launcher/topology/topology_override.h"

#include <algorithm>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/text.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 20U;
constexpr std::size_t kMostDevices = 4096;
constexpr std::size_t kLongestName = 128;
constexpr std::size_t kLongestShownLine = 1000;
constexpr std::int64_t kMostNumaNodes = 1 << 16;
constexpr std::size_t kFile = 1;    // levels of mappings: of gpus and nics,
constexpr std::size_t kGroup = 2;   // of devices,
constexpr std::size_t kDevice = 3;  // of settings
constexpr const char* kShape =
    "write it like: {gpus: {\"0000:07:00.0\": {numa_node: 3}}, nics: {mlx5_0: {numa_node: 1}}}";

// Thrown inside of the handler, whose signatures are yaml-cpp's; caught by the only caller.
struct Refusal {
  YAML::Mark mark;
  std::string message;
  std::string hint;
};

std::string in_quotes(std::string_view text) {
  return "\"" + without_controls(text.substr(0, kLongestName)) + "\"";
}

class Builder : public YAML::EventHandler {
 public:
  Builder(std::string_view text, TopologyOverride& result) : text_(text), result_(result) {}

  Location location(const YAML::Mark& mark) const {
    Location location{result_.file, std::max(0, mark.line) + 1, std::max(0, mark.column) + 1};
    std::string_view rest = text_;
    for (int line = 1; line < location.line; ++line) {
      const std::size_t end = rest.find('\n');
      if (end == rest.npos) return location;
      rest.remove_prefix(end + 1);
    }
    const std::string_view shown = rest.substr(0, rest.find('\n'));
    if (shown.size() <= kLongestShownLine) location.source_line = without_controls(shown);
    return location;
  }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    if (levels_.empty()) return;  // an empty file says nothing about any device
    if (!levels_.back().key) refuse(mark, "a name is missing before \":\"");
    refuse(levels_.back().key_mark, in_quotes(*levels_.back().key) + " has no value");
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    refuse(mark, "aliases are not supported here", "write the value again");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    check_tag(mark, tag);
    if (levels_.empty()) refuse(mark, "it is a single word, not a mapping");
    Level& level = levels_.back();
    if (!level.key) {
      add_key(mark, value);
      return;
    }
    if (levels_.size() < kDevice) {
      refuse(mark, in_quotes(*level.key) + " is " + in_quotes(value) + ", and must be a mapping");
    }
    set(mark, *level.key, value);
    level.key.reset();
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/, YAML::EmitterStyle::value /*style*/) override {
    refuse(mark, "a list has no meaning here");
  }
  void OnSequenceEnd() override {}

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    if (!levels_.empty() && !levels_.back().key) refuse(mark, "a mapping is no name of a device");
    if (levels_.size() >= kDevice) {
      refuse(mark, in_quotes(*levels_.back().key) + " is a mapping, and must be one word");
    }
    levels_.emplace_back();
  }

  void OnMapEnd() override {
    if (levels_.size() == kDevice) check_device();
    levels_.pop_back();
    if (!levels_.empty()) levels_.back().key.reset();
  }

 private:
  struct Level {
    std::vector<std::string> seen = {};
    std::optional<std::string> key = {};  // read, its value not yet
    YAML::Mark key_mark = {};
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message,
                                  std::string hint = kShape) {
    throw Refusal{mark, std::move(message), std::move(hint)};
  }

  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,")) return;
    refuse(mark, "the tag " + in_quotes(tag) + " is not supported",
           "write the value without a tag");
  }

  void add_key(const YAML::Mark& mark, const std::string& key) {
    Level& level = levels_.back();
    if (std::find(level.seen.begin(), level.seen.end(), key) != level.seen.end()) {
      refuse(mark, in_quotes(key) + " stands twice", "keep one of the two");
    }
    if (key.empty() || key.size() > kLongestName) refuse(mark, in_quotes(key) + " is no name");
    if (levels_.size() == kFile) {
      choose_group(mark, key);
    } else if (levels_.size() == kGroup) {
      add_device(mark, key);
    }
    level.seen.push_back(key);
    level.key = key;
    level.key_mark = mark;
  }

  void choose_group(const YAML::Mark& mark, const std::string& key) {
    if (key != "gpus" && key != "nics") {
      const std::vector<std::string> known{"gpus", "nics"};
      const std::string meant = did_you_mean_hint(key, known);
      refuse(mark, "unknown key " + in_quotes(key) + "; there are gpus and nics",
             meant.empty() ? kShape : meant);
    }
    group_ = key == "gpus" ? &result_.gpus : &result_.nics;
  }

  void add_device(const YAML::Mark& mark, const std::string& key) {
    if (result_.gpus.size() + result_.nics.size() >= kMostDevices) {
      refuse(mark, "more than " + std::to_string(kMostDevices) + " devices",
             "is it the file that you meant?");
    }
    const bool uuid = key.starts_with("GPU-") || key.starts_with("MIG-");
    if (group_ == &result_.gpus && !uuid && canonical_bus_id(key).empty()) {
      refuse(mark, in_quotes(key) + " is neither a PCI bus id nor the UUID of a GPU",
             "muster topo shows both; a number means another GPU after every change of "
             "CUDA_VISIBLE_DEVICES");
    }
    group_->push_back({key, {}, {}, location(mark)});
  }

  void set(const YAML::Mark& mark, const std::string& key, const std::string& value) {
    DeviceOverride& device = group_->back();
    if (key == "numa_node") {
      const auto node = parse_integer(value);
      if (!node || *node < 0 || *node >= kMostNumaNodes) {
        refuse(mark, "numa_node is " + in_quotes(value) + ", and must be the number of a NUMA node",
               "muster topo lists the NUMA nodes");
      }
      device.numa_node = static_cast<int>(*node);
      device.numa_location = location(mark);
    } else if (key == "usable" && group_ == &result_.nics) {
      const bool yes = value == "true" || value == "yes";
      if (!yes && value != "false" && value != "no") {
        refuse(mark, "usable is " + in_quotes(value) + ", and must be true or false",
               "true: ranks are given it, whatever it looks like; false: never");
      }
      device.usable = yes;
    } else {
      std::vector<std::string> known{"numa_node"};
      if (group_ == &result_.nics) known.emplace_back("usable");
      const std::string meant = did_you_mean_hint(key, known);
      refuse(levels_.back().key_mark,
             "unknown key " + in_quotes(key) + "; there is " + join(known, " and "),
             meant.empty() ? kShape : meant);
    }
  }

  void check_device() {
    const DeviceOverride& device = group_->back();
    if (device.numa_node || device.usable) return;
    refuse(levels_[kGroup - 1].key_mark, "nothing is said about " + in_quotes(device.name));
  }

  std::string_view text_;
  TopologyOverride& result_;
  std::vector<DeviceOverride>* group_ = nullptr;
  std::vector<Level> levels_;
};

Error problem(const std::string& file, const std::string& why, std::string hint,
              Location location) {
  return Error{ErrorCode::kConfig, "cannot use the override file " + file + ": " + why,
               std::move(hint), std::move(location)};
}

// yaml-cpp takes some of them for the end of the file.
bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
}

bool names_bus_id(const DeviceOverride& device, const std::string& bus_id) {
  return !bus_id.empty() && canonical_bus_id(device.name) == bus_id;
}

const DeviceOverride* first(const std::vector<DeviceOverride>& devices, auto&& fits) {
  const auto found = std::find_if(devices.begin(), devices.end(), fits);
  return found == devices.end() ? nullptr : &*found;
}

bool is_named(const Gpu& gpu, const DeviceOverride& device) {
  return (!gpu.uuid.empty() && device.name == gpu.uuid) ||
         (!gpu.parent_uuid.empty() && device.name == gpu.parent_uuid) ||
         names_bus_id(device, gpu.bus_id);
}

bool is_named(const Nic& nic, const DeviceOverride& device) {
  return device.name == nic.name || (!nic.interface.empty() && device.name == nic.interface) ||
         names_bus_id(device, nic.bus_id);
}

Note absent(const DeviceOverride& device, const char* kind, const std::string& hostname) {
  return {Note::Kind::kWarning, "override file",
          device.location.file + ":" + std::to_string(device.location.line) + ": " + hostname +
              " has no " + kind + " " + in_quotes(device.name),
          "muster topo lists what it has"};
}

}  // namespace

const DeviceOverride* TopologyOverride::find(const Gpu& gpu) const {
  return first(gpus, [&](const DeviceOverride& device) { return is_named(gpu, device); });
}

const DeviceOverride* TopologyOverride::find(const Nic& nic) const {
  return first(nics, [&](const DeviceOverride& device) { return is_named(nic, device); });
}

Result<TopologyOverride> parse_topology_override(std::string_view text,
                                                 const std::string& file_name) {
  const auto refuse = [&](const std::string& why, std::string hint, Location location) {
    return Failure(problem(file_name, why, std::move(hint), std::move(location)));
  };
  if (text.size() > kMostBytes) {
    return refuse("it is larger than 1 MiB", "is it the file that you meant?", {file_name});
  }
  if (has_control_characters(text)) {
    return refuse("it contains control characters", "save it as UTF-8 text", {file_name});
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark
  TopologyOverride result;
  result.file = file_name;
  Builder builder(text, result);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    if (parser.HandleNextDocument(builder)) {
      return refuse("it holds more than one YAML document", "keep one; \"---\" begins the next",
                    {file_name});
    }
  } catch (const Refusal& refusal) {
    return refuse(refusal.message, refusal.hint, builder.location(refusal.mark));
  } catch (const YAML::Exception& error) {
    return refuse(without_controls(error.msg), kShape, builder.location(error.mark));
  }
  return result;
}

Result<std::vector<Note>> check_topology_override(const TopologyOverride& override_file,
                                                  const NodeInventory& inventory) {
  std::vector<Note> notes;
  for (const auto* group : {&override_file.gpus, &override_file.nics}) {
    for (const DeviceOverride& device : *group) {
      const auto has = [&](const NumaNode& node) { return node.os_index == *device.numa_node; };
      if (!device.numa_node ||
          std::any_of(inventory.numa_nodes.begin(), inventory.numa_nodes.end(), has)) {
        continue;
      }
      std::vector<std::string> nodes;
      for (const NumaNode& node : inventory.numa_nodes) {
        nodes.push_back(std::to_string(node.os_index));
      }
      return Failure(
          problem(override_file.file,
                  inventory.hostname + " has no NUMA node " + std::to_string(*device.numa_node),
                  "it has " + join(nodes, ", "), device.numa_location));
    }
  }
  const auto named_among = [](const auto& devices, const DeviceOverride& override_of) {
    return std::any_of(devices.begin(), devices.end(),
                       [&](const auto& device) { return is_named(device, override_of); });
  };
  for (const DeviceOverride& device : override_file.gpus) {
    if (named_among(inventory.gpus, device) || named_among(inventory.hidden_gpus, device)) continue;
    notes.push_back(absent(device, "GPU", inventory.hostname));
  }
  for (const DeviceOverride& device : override_file.nics) {
    if (!named_among(inventory.nics, device)) {
      notes.push_back(absent(device, "NIC", inventory.hostname));
    }
  }
  return notes;
}

void apply_usability(const TopologyOverride& override_file, std::vector<Nic>& nics) {
  for (Nic& nic : nics) {
    const DeviceOverride* said = override_file.find(nic);
    if (said == nullptr || !said->usable) continue;
    nic.unfit = *said->usable ? "" : "by the override file";
  }
}

}  // namespace muster::topology
