#include "tests/support/machines.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include <nlohmann/json.hpp>

#include "launcher/topology/network_devices.h"

namespace muster::plan {
namespace {

using nlohmann::json;
using topology::Core;
using topology::Gpu;
using topology::kUnknown;
using topology::LocalitySource;
using topology::Nic;
using topology::NicKind;
using topology::NodeInventory;
using topology::NumaNode;

constexpr std::string_view kFlat = "-flat";

std::filesystem::path folder() {
  return std::filesystem::path(MUSTER_TEST_DATA) / "machines";
}

std::string text_of(const std::string& name) {
  std::ifstream file(folder() / (name + ".json"));
  return {std::istreambuf_iterator<char>(file), {}};
}

json description(const std::string& name) {
  return json::parse(text_of(name));
}

CpuSet list(const json& given, const char* key) {
  return CpuSet::parse(given.value(key, std::string())).value_or(CpuSet{});
}

CpuSet without(const CpuSet& set, const CpuSet& taken) {
  CpuSet left;
  for (const int cpu : set.to_vector()) {
    if (!taken.contains(cpu)) left.insert(cpu);
  }
  return left;
}

// A machine's numbers, as the description's short forms mean them.
struct Shape {
  explicit Shape(const json& given)
      : packages(given.at("packages")),
        numa_per_package(given.at("numa_per_package")),
        cores_per_numa(given.at("cores_per_numa")),
        smt(given.at("smt")),
        cores_per_l3(given.at("cores_per_l3")),
        core_count(packages * numa_per_package * cores_per_numa) {
    for (int numa = 0; numa < packages * numa_per_package; ++numa) {
      numa_ids.push_back(given.contains("numa_ids")
                             ? given["numa_ids"][static_cast<std::size_t>(numa)].get<int>()
                             : numa);
    }
    const std::string rule = given.at("pus");
    const std::vector<int> line =
        rule == "linux" || rule == "compact" ? std::vector<int>{} : list(given, "pus").to_vector();
    for (int core = 0; core < core_count; ++core) {
      CpuSet of_core;
      for (int thread = 0; thread < smt; ++thread) {
        const int at = core * smt + thread;
        of_core.insert(rule == "linux"     ? core + thread * core_count
                       : rule == "compact" ? at
                                           : line.at(static_cast<std::size_t>(at)));
      }
      pus.push_back(of_core);
    }
  }

  int numa_of(int core) const { return core / cores_per_numa; }

  int packages, numa_per_package, cores_per_numa, smt, cores_per_l3, core_count;
  std::vector<int> numa_ids;
  std::vector<CpuSet> pus;  // [core]
};

void add_cores(const Shape& shape, const CpuSet& offline, const CpuSet& disallowed,
               NodeInventory& node) {
  int logical = 0;
  std::map<int, int> caches;  // those with a CPU, numbered as they come
  for (int at = 0; at < shape.core_count; ++at) {
    const CpuSet present = without(shape.pus[static_cast<std::size_t>(at)], offline);
    if (present.empty()) continue;
    node.present = node.present.united(present);
    Core core;
    core.logical_index = logical++;
    core.package = shape.numa_of(at) / shape.numa_per_package;
    core.numa_node = shape.numa_ids[static_cast<std::size_t>(shape.numa_of(at))];
    core.l3 =
        caches.emplace(at / shape.cores_per_l3, static_cast<int>(caches.size())).first->second;
    core.pus = without(present, disallowed);
    if (core.pus.empty()) continue;
    core.allowed_index = static_cast<int>(node.cores.size());
    node.cores.push_back(core);
  }
  node.allowed = without(node.present, disallowed);
}

void add_numa_nodes(const json& given, const Shape& shape, const CpuSet& offline,
                    NodeInventory& node) {
  const CpuSet no_memory = list(given, "disallowed_memory");
  const auto add = [&](int os_index, std::uint64_t gib, int package, const CpuSet& cpus) {
    NumaNode numa;
    numa.os_index = os_index;
    numa.memory_bytes = gib << 30;
    numa.present_cpus = without(cpus, offline);
    numa.cpus = numa.present_cpus.intersection(node.allowed);
    numa.package = package;
    numa.memory_allowed = !no_memory.contains(os_index);
    node.numa_nodes.push_back(numa);
  };
  for (std::size_t at = 0; at < shape.numa_ids.size(); ++at) {
    CpuSet cpus;
    for (int core = 0; core < shape.core_count; ++core) {
      if (shape.numa_of(core) == static_cast<int>(at)) {
        cpus = cpus.united(shape.pus[static_cast<std::size_t>(core)]);
      }
    }
    add(shape.numa_ids[at], given.at("memory_gib"), static_cast<int>(at) / shape.numa_per_package,
        cpus);
  }
  for (const json& extra : given.value("memory_only", json::array())) {
    add(extra.at("id"), extra.at("gib"), extra.at("package"), CpuSet{});
  }
  if (!given.contains("distances")) return;
  for (std::size_t i = 0; i < node.numa_nodes.size(); ++i) {
    node.numa_nodes[i].distances = given["distances"][i].get<std::vector<int>>();
  }
}

// Sets what a GPU and a NIC have in common.
template <typename Device>
void set_place(const json& given, bool flat, const NodeInventory& node, Device& device) {
  device.bus_id = given.at("bus_id");
  if (flat) return;
  device.upstream = given.value("upstream", std::vector<std::string>{});
  device.numa_node = given.at("numa");
  if (device.numa_node == kUnknown) return;
  device.locality_source = LocalitySource::kHwloc;
  for (const NumaNode& numa : node.numa_nodes) {
    if (numa.os_index == device.numa_node) device.package = numa.package;
  }
}

void add_gpus(const json& given, bool flat, NodeInventory& node) {
  const bool named = given.value("osdevs", true);
  int physical = 0;
  for (const json& one : given.value("gpus", json::array())) {
    Gpu gpu;
    set_place(one, flat, node, gpu);
    gpu.physical_index = physical++;
    if (named) {
      if (given.at("gpu_pci").get<std::string>().starts_with("10de")) gpu.uuid = one.at("uuid");
      gpu.model = given.at("gpu_model");
    }
    std::vector<Gpu> units{gpu};
    if (one.contains("instances")) {
      units.clear();
      for (const json& instance : one["instances"]) {
        units.push_back(gpu);
        units.back().parent_uuid = gpu.uuid;
        units.back().uuid = instance;
      }
    }
    for (Gpu& unit : units) {
      unit.visible_ordinal = static_cast<int>(node.gpus.size());
      node.gpus.push_back(std::move(unit));
    }
  }
}

NicKind kind_of(const std::string& name) {
  for (const NicKind kind :
       {NicKind::kEthernet, NicKind::kInfiniBand, NicKind::kRoce, NicKind::kEfa}) {
    if (name == to_string(kind)) return kind;
  }
  return NicKind::kOther;
}

void add_nics(const json& given, bool flat, NodeInventory& node) {
  for (const json& one : given.value("nics", json::array())) {
    Nic nic;
    set_place(one, flat, node, nic);
    nic.name = one.at("name");
    nic.kind = kind_of(one.at("kind"));
    nic.port = nic.kind == NicKind::kEthernet ? 0 : 1;
    nic.interface = one.value("interface", "");
    const bool down = one.value("state", "active") == "down";
    nic.state = down            ? topology::LinkState::kDown
                : nic.is_rdma() ? topology::LinkState::kActive
                                : topology::LinkState::kUntold;
    if (down) nic.unfit = "down";
    node.nics.push_back(nic);
  }
  std::stable_sort(node.nics.begin(), node.nics.end(), [](const Nic& a, const Nic& b) {
    if (a.is_rdma() != b.is_rdma()) return a.is_rdma();
    return topology::natural_less(a.name, b.name);
  });
}

std::vector<ExpectedPlacement> expected_rows(const json& given) {
  std::vector<ExpectedPlacement> rows;
  for (const json& one : given.value("expected", json::array())) {
    ExpectedPlacement row;
    row.processes = one.at("processes");
    row.cpus = one.at("cpus");
    if (one.contains("memory")) row.memory = one["memory"];
    if (one.contains("nics")) row.nics = one["nics"];
    row.layout = one.value("layout", "");
    row.score = one.at("score");
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

// Every test program lists the machines when it starts, so they are not parsed for that.
std::vector<std::string> described_machines() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    if (entry.path().extension() != ".json") continue;
    names.push_back(entry.path().stem());
    if (text_of(names.back()).find("\"flat\": true") != std::string::npos) {
      names.push_back(names.back() + std::string(kFlat));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> machines_with_expected_rows() {
  std::vector<std::string> names;
  for (const std::string& name : described_machines()) {
    if (name.ends_with(kFlat)) continue;
    if (text_of(name).find("\"expected\"") != std::string::npos) names.push_back(name);
  }
  return names;
}

DescribedMachine described(const std::string& name) {
  const bool flat = name.ends_with(kFlat);
  const json given = description(flat ? name.substr(0, name.size() - kFlat.size()) : name);
  const Shape shape(given);
  DescribedMachine machine;
  machine.name = name;
  machine.title = given.at("title");
  NodeInventory& node = machine.inventory;
  node.hostname = name;
  node.source = name + ".xml";
  node.package_count = shape.packages;
  add_cores(shape, list(given, "offline"), list(given, "disallowed"), node);
  add_numa_nodes(given, shape, list(given, "offline"), node);
  add_gpus(given, flat, node);
  add_nics(given, flat, node);
  if (!flat) machine.expected = expected_rows(given);
  return machine;
}

}  // namespace muster::plan
