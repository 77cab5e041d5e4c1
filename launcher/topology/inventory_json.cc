#include "launcher/topology/inventory_json.h"

#include <array>

#include <nlohmann/json.hpp>

namespace muster::topology {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHint = "muster topo --format json shows the format";

Json index_json(int index) {
  return index == kUnknown ? Json(nullptr) : Json(index);
}

constexpr std::array kSources = {LocalitySource::kNobody,   LocalitySource::kOverride,
                                 LocalitySource::kGpusFile, LocalitySource::kNcclFile,
                                 LocalitySource::kSysfs,    LocalitySource::kNvml,
                                 LocalitySource::kHwloc,    LocalitySource::kOnlyNode};
constexpr std::array kNicKinds = {NicKind::kEthernet, NicKind::kInfiniBand, NicKind::kRoce,
                                  NicKind::kEfa, NicKind::kOther};
constexpr std::array kLinkStates = {LinkState::kUntold, LinkState::kActive, LinkState::kDown};

// Reads the fields of one object, and remembers the first that is not what it should be.
class Fields {
 public:
  Fields(const Json& json, const char* what) : json_(json), what_(what) {
    if (!json.is_object()) wrong_ = std::string("a ") + what + " is no JSON object";
  }

  void text(const char* name, std::string& value) { read(name, value, &Json::is_string, "text"); }
  void flag(const char* name, bool& value) {
    read(name, value, &Json::is_boolean, "true or false");
  }
  void number(const char* name, double& value) { read(name, value, &Json::is_number, "a number"); }
  void bytes(const char* name, std::uint64_t& value) {
    read(name, value, &Json::is_number_unsigned, "a number of bytes");
  }
  void index(const char* name, int& value) {
    const Json* found = find(name);
    if (found == nullptr) return;
    constexpr std::uint64_t kLargest = 1U << 30;
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > kLargest) {
      return refuse(name, "a number from 0 on, or null");
    }
    value = found->get<int>();
  }
  void texts(const char* name, std::vector<std::string>& values) {
    for_each(name, [&](const Json& each) {
      if (!each.is_string()) return refuse(name, "a list of texts");
      values.push_back(each.get<std::string>());
    });
  }
  // One of some words, as to_string writes them; "unknown" may stand for several, the first holds.
  template <typename Choices, typename T>
  void choice(const char* name, const Choices& choices, T& value) {
    std::string word;
    text(name, word);
    if (word.empty()) return;
    for (const T each : choices) {
      if (word == to_string(each)) {
        value = each;
        return;
      }
    }
    refuse(name, "one of the words that muster topo prints");
  }
  template <typename Read>
  void for_each(const char* name, const Read& read_one) {
    const Json* found = find(name);
    if (found == nullptr) return;
    if (!found->is_array()) return refuse(name, "a list");
    for (const Json& each : *found) read_one(each);
  }
  void refuse(const std::string& name, const char* wanted) {
    if (wrong_.empty())
      wrong_ = std::string("\"") + name + "\" of a " + what_ + " is not " + wanted;
  }

  Result<> result() const {
    if (wrong_.empty()) return {};
    return fail(ErrorCode::kResources, wrong_, kHint);
  }

 private:
  const Json* find(const char* name) const {
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  template <typename T>
  void read(const char* name, T& value, bool (Json::*is_right)() const noexcept,
            const char* wanted) {
    const Json* found = find(name);
    if (found == nullptr) return;
    if (!(found->*is_right)()) return refuse(name, wanted);
    value = found->get<T>();
  }

  const Json& json_;
  const char* what_;
  std::string wrong_;
};

NvLink nvlink_from(const Json& json, Fields& gpu) {
  NvLink link;
  Fields fields(json, "link");
  fields.text("bus_id", link.bus_id);
  fields.index("count", link.count);
  fields.flag("to_switch", link.to_switch);
  if (!fields.result()) gpu.refuse("nvlinks", "a list of links");
  return link;
}

GpuProcess process_from(const Json& json, Fields& gpu) {
  GpuProcess process;
  Fields fields(json, "process");
  fields.index("pid", process.pid);
  fields.text("name", process.name);
  fields.bytes("memory_bytes", process.memory_bytes);
  if (!fields.result()) gpu.refuse("processes", "a list of processes");
  return process;
}

Json gpu_json(const Gpu& gpu) {
  Json json = {{"index", index_json(gpu.visible_ordinal)},
               {"bus_id", gpu.bus_id},
               {"uuid", gpu.uuid},
               {"model", gpu.model},
               {"numa_node", index_json(gpu.numa_node)},
               {"package", index_json(gpu.package)},
               {"locality_source", to_string(gpu.locality_source)},
               {"physical_index", index_json(gpu.physical_index)},
               {"parent_uuid", gpu.parent_uuid},
               {"gpu_instance", index_json(gpu.gpu_instance)},
               {"compute_instance", index_json(gpu.compute_instance)},
               {"vendor", gpu.vendor},
               {"hidden_because", gpu.hidden_because},
               {"memory_bytes", gpu.memory_bytes},
               {"upstream", gpu.upstream},
               {"nvlinks", Json::array()},
               {"processes", Json::array()}};
  for (const NvLink& link : gpu.nvlinks) {
    json["nvlinks"].push_back(
        {{"bus_id", link.bus_id}, {"count", link.count}, {"to_switch", link.to_switch}});
  }
  for (const GpuProcess& process : gpu.processes) {
    json["processes"].push_back(
        {{"pid", process.pid}, {"name", process.name}, {"memory_bytes", process.memory_bytes}});
  }
  return json;
}

Json nic_json(const Nic& nic) {
  return {{"name", nic.name},
          {"bus_id", nic.bus_id},
          {"numa_node", index_json(nic.numa_node)},
          {"package", index_json(nic.package)},
          {"locality_source", to_string(nic.locality_source)},
          {"kind", to_string(nic.kind)},
          {"port", nic.port},
          {"state", to_string(nic.state)},
          {"gigabits_per_second", nic.gigabits_per_second},
          {"interface", nic.interface},
          {"physical_function", nic.physical_function},
          {"upstream", nic.upstream},
          {"unfit", nic.unfit}};
}

Json note_json(const Note& note) {
  return {{"kind", note.kind == Note::Kind::kWarning ? "warning" : "info"},
          {"subject", note.subject},
          {"text", note.text},
          {"hint", note.hint}};
}

Json nccl_file_json(const NcclTopologyFile& file) {
  return {{"path", file.path},
          {"named_by", file.named_by},
          {"used", file.used},
          {"why_not", file.why_not}};
}

Result<Gpu> gpu_from_json(const Json& json) {
  Gpu gpu;
  gpu.visible_ordinal = kUnknown;
  Fields fields(json, "GPU");
  fields.index("index", gpu.visible_ordinal);
  fields.text("bus_id", gpu.bus_id);
  fields.text("uuid", gpu.uuid);
  fields.text("model", gpu.model);
  fields.index("numa_node", gpu.numa_node);
  fields.index("package", gpu.package);
  fields.choice("locality_source", kSources, gpu.locality_source);
  fields.index("physical_index", gpu.physical_index);
  fields.text("parent_uuid", gpu.parent_uuid);
  fields.index("gpu_instance", gpu.gpu_instance);
  fields.index("compute_instance", gpu.compute_instance);
  fields.index("vendor", gpu.vendor);
  fields.text("hidden_because", gpu.hidden_because);
  fields.bytes("memory_bytes", gpu.memory_bytes);
  fields.texts("upstream", gpu.upstream);
  fields.for_each("nvlinks",
                  [&](const Json& each) { gpu.nvlinks.push_back(nvlink_from(each, fields)); });
  fields.for_each("processes",
                  [&](const Json& each) { gpu.processes.push_back(process_from(each, fields)); });
  MUSTER_TRY(fields.result());
  return gpu;
}

Result<Nic> nic_from_json(const Json& json) {
  Nic nic;
  Fields fields(json, "NIC");
  fields.text("name", nic.name);
  fields.text("bus_id", nic.bus_id);
  fields.index("numa_node", nic.numa_node);
  fields.index("package", nic.package);
  fields.choice("locality_source", kSources, nic.locality_source);
  fields.choice("kind", kNicKinds, nic.kind);
  fields.index("port", nic.port);
  fields.choice("state", kLinkStates, nic.state);
  fields.number("gigabits_per_second", nic.gigabits_per_second);
  fields.text("interface", nic.interface);
  fields.text("physical_function", nic.physical_function);
  fields.texts("upstream", nic.upstream);
  fields.text("unfit", nic.unfit);
  MUSTER_TRY(fields.result());
  return nic;
}

Result<Note> note_from_json(const Json& json) {
  Note note;
  std::string kind;
  Fields fields(json, "note");
  fields.text("kind", kind);
  fields.text("subject", note.subject);
  fields.text("text", note.text);
  fields.text("hint", note.hint);
  MUSTER_TRY(fields.result());
  if (kind == "warning") note.kind = Note::Kind::kWarning;
  return note;
}

template <typename T>
Json list_json(const std::vector<T>& values, Json (*to_json)(const T&)) {
  Json list = Json::array();
  for (const T& value : values) list.push_back(to_json(value));
  return list;
}

void add_devices(const Devices& devices, Json& json) {
  json["cpu_quota"] = devices.cpu_quota ? Json(*devices.cpu_quota) : Json(nullptr);
  json["gpu_source"] = devices.gpu_source;
  json["gpus"] = list_json(devices.gpus, gpu_json);
  json["hidden_gpus"] = list_json(devices.hidden_gpus, gpu_json);
  json["nics"] = list_json(devices.nics, nic_json);
  json["notes"] = list_json(devices.notes, note_json);
}

template <typename T>
Result<std::vector<T>> list_from(const Json& json, const char* name,
                                 Result<T> (*from_json)(const Json&)) {
  std::vector<T> values;
  const auto found = json.find(name);
  if (found == json.end() || found->is_null()) return values;
  if (!found->is_array()) {
    return fail(ErrorCode::kResources, std::string("\"") + name + "\" is not a list", kHint);
  }
  for (const Json& each : *found) {
    MUSTER_TRY_ASSIGN(T value, from_json(each));
    values.push_back(std::move(value));
  }
  return values;
}

Result<Devices> devices_from(const Json& json) {
  if (!json.is_object()) {
    return fail(ErrorCode::kResources,
                json.is_discarded() ? "it is not JSON" : "it is not one JSON object", kHint);
  }
  Devices devices;
  Fields fields(json, "node");
  fields.text("gpu_source", devices.gpu_source);
  double quota = 0;
  fields.number("cpu_quota", quota);
  MUSTER_TRY(fields.result());
  if (quota > 0) devices.cpu_quota = quota;
  MUSTER_TRY_ASSIGN(devices.gpus, list_from<Gpu>(json, "gpus", gpu_from_json));
  MUSTER_TRY_ASSIGN(devices.hidden_gpus, list_from<Gpu>(json, "hidden_gpus", gpu_from_json));
  MUSTER_TRY_ASSIGN(devices.nics, list_from<Nic>(json, "nics", nic_from_json));
  MUSTER_TRY_ASSIGN(devices.notes, list_from<Note>(json, "notes", note_from_json));
  int next = 0;
  for (Gpu& gpu : devices.gpus) {
    if (gpu.visible_ordinal == kUnknown) gpu.visible_ordinal = next;
    next = gpu.visible_ordinal + 1;
  }
  return devices;
}

Json json_of(const NodeInventory& inventory) {
  Json json;
  json["hostname"] = inventory.hostname;
  json["source"] = inventory.source;
  json["package_count"] = inventory.package_count;
  json["allowed"] = inventory.allowed.to_string();
  json["present"] = inventory.present.to_string();
  json["numa_nodes"] = Json::array();
  for (const NumaNode& node : inventory.numa_nodes) {
    json["numa_nodes"].push_back({{"os_index", node.os_index},
                                  {"memory_bytes", node.memory_bytes},
                                  {"cpus", node.cpus.to_string()},
                                  {"present_cpus", node.present_cpus.to_string()},
                                  {"package", index_json(node.package)},
                                  {"memory_allowed", node.memory_allowed},
                                  {"distances", node.distances}});
  }
  json["cores"] = Json::array();
  for (const Core& core : inventory.cores) {
    json["cores"].push_back({{"logical_index", core.logical_index},
                             {"package", index_json(core.package)},
                             {"numa_node", index_json(core.numa_node)},
                             {"l3", index_json(core.l3)},
                             {"cpus", core.pus.to_string()},
                             {"allowed_index", core.allowed_index}});
  }
  add_devices({inventory.gpu_source, inventory.gpus, inventory.hidden_gpus, inventory.nics,
               inventory.notes, inventory.cpu_quota},
              json);
  const auto& file = inventory.nccl_file;
  json["nccl_topology_file"] = file ? nccl_file_json(*file) : Json(nullptr);
  return json;
}

}  // namespace

std::string topology_json(const NodeInventory& inventory) {
  return json_of(inventory).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string inventory_line(const NodeInventory& inventory) {
  return json_of(inventory).dump(-1, ' ', false, Json::error_handler_t::replace);
}

namespace {

CpuSet cpus_from(const std::string& list, Fields& fields, const char* name) {
  auto cpus = CpuSet::parse(list);
  if (!cpus) fields.refuse(name, "a list of CPUs");
  return cpus ? std::move(*cpus) : CpuSet();
}

Result<NumaNode> numa_node_from_json(const Json& json) {
  NumaNode node;
  Fields fields(json, "NUMA node");
  std::string cpus;
  std::string present;
  fields.index("os_index", node.os_index);
  fields.bytes("memory_bytes", node.memory_bytes);
  fields.text("cpus", cpus);
  fields.text("present_cpus", present);
  fields.index("package", node.package);
  fields.flag("memory_allowed", node.memory_allowed);
  fields.for_each("distances", [&](const Json& each) {
    if (!each.is_number_integer()) return fields.refuse("distances", "a list of numbers");
    node.distances.push_back(each.get<int>());
  });
  node.cpus = cpus_from(cpus, fields, "cpus");
  node.present_cpus = cpus_from(present, fields, "present_cpus");
  MUSTER_TRY(fields.result());
  return node;
}

Result<Core> core_from_json(const Json& json) {
  Core core;
  Fields fields(json, "core");
  std::string cpus;
  fields.index("logical_index", core.logical_index);
  fields.index("package", core.package);
  fields.index("numa_node", core.numa_node);
  fields.index("l3", core.l3);
  fields.text("cpus", cpus);
  fields.index("allowed_index", core.allowed_index);
  core.pus = cpus_from(cpus, fields, "cpus");
  if (core.pus.empty()) fields.refuse("cpus", "a list of CPUs");
  MUSTER_TRY(fields.result());
  return core;
}

}  // namespace

Result<NodeInventory> inventory_from_json(std::string_view text) {
  NodeInventory inventory;
  const Json json = Json::parse(text, nullptr, false);
  MUSTER_TRY_ASSIGN(Devices devices, devices_from(json));
  inventory.gpu_source = std::move(devices.gpu_source);
  inventory.gpus = std::move(devices.gpus);
  inventory.hidden_gpus = std::move(devices.hidden_gpus);
  inventory.nics = std::move(devices.nics);
  inventory.notes = std::move(devices.notes);
  inventory.cpu_quota = devices.cpu_quota;
  Fields fields(json, "node");
  std::string allowed;
  std::string present;
  fields.text("hostname", inventory.hostname);
  fields.text("source", inventory.source);
  fields.index("package_count", inventory.package_count);
  fields.text("allowed", allowed);
  fields.text("present", present);
  inventory.allowed = cpus_from(allowed, fields, "allowed");
  inventory.present = cpus_from(present, fields, "present");
  MUSTER_TRY(fields.result());
  MUSTER_TRY_ASSIGN(inventory.numa_nodes,
                    list_from<NumaNode>(json, "numa_nodes", numa_node_from_json));
  MUSTER_TRY_ASSIGN(inventory.cores, list_from<Core>(json, "cores", core_from_json));
  if (inventory.cores.empty()) fields.refuse("cores", "a list with a core in it");
  MUSTER_TRY(fields.result());
  return inventory;
}

Result<Devices> devices_from_json(std::string_view text) {
  return devices_from(Json::parse(text, nullptr, false));
}

std::string devices_json(const Devices& devices) {
  Json json;
  add_devices(devices, json);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace muster::topology
