#include "launcher/topology/inventory_text.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/text_table.h"

namespace muster::topology {
namespace {

std::string index_text(int index) {
  return index == kUnknown ? "?" : std::to_string(index);
}

nlohmann::json index_json(int index) {
  return index == kUnknown ? nlohmann::json(nullptr) : nlohmann::json(index);
}

std::string memory_text(std::uint64_t bytes) {
  return bytes == 0 ? "?" : format_bytes(bytes);
}

// The packages of the cores near a NUMA node: "0", "0,1", "-" for a node without CPUs.
std::string packages_near(const NodeInventory& inventory, int numa_node) {
  std::set<int> packages;
  for (const Core& core : inventory.cores) {
    if (core.numa_node == numa_node) packages.insert(core.package);
  }
  std::vector<std::string> names;
  for (const int package : packages) names.push_back(index_text(package));
  return names.empty() ? "-" : join(names, ",");
}

int cores_near(const NodeInventory& inventory, int numa_node) {
  return static_cast<int>(
      std::count_if(inventory.cores.begin(), inventory.cores.end(),
                    [&](const Core& core) { return core.numa_node == numa_node; }));
}

CpuSet cpus_of_cores_near(const NodeInventory& inventory, int numa_node) {
  std::vector<int> cpus;
  for (const Core& core : inventory.cores) {
    if (core.numa_node != numa_node) continue;
    const std::vector<int> pus = core.pus.to_vector();
    cpus.insert(cpus.end(), pus.begin(), pus.end());
  }
  return CpuSet::from_vector(cpus);
}

int disallowed_count(const NodeInventory& inventory) {
  return inventory.present.count() - inventory.allowed.intersection(inventory.present).count();
}

}  // namespace

std::string topology_text(const NodeInventory& inventory) {
  std::string text =
      fmt::format("{}: {}, {}, {}, {} ({})\n", inventory.hostname,
                  counted(static_cast<std::int64_t>(inventory.cores.size()), "core"),
                  counted(inventory.allowed.count(), "hardware thread"),
                  counted(static_cast<std::int64_t>(inventory.numa_nodes.size()), "NUMA node"),
                  inventory.package_count == 0 ? "packages unknown"
                                               : counted(inventory.package_count, "package"),
                  inventory.source);

  using Align = TextTable::Align;
  TextTable table({{"NUMA", Align::kRight},
                   {"package", Align::kRight},
                   {"memory", Align::kRight},
                   {"cores", Align::kRight},
                   {"CPUs"}});
  const auto add_row = [&](int numa_node, const std::string& memory) {
    const CpuSet cpus = cpus_of_cores_near(inventory, numa_node);
    table.add_row({index_text(numa_node), packages_near(inventory, numa_node), memory,
                   std::to_string(cores_near(inventory, numa_node)),
                   cpus.empty() ? "-" : cpus.to_string()});
  };
  for (const NumaNode& node : inventory.numa_nodes)
    add_row(node.os_index, memory_text(node.memory_bytes));
  if (cores_near(inventory, kUnknown) > 0) add_row(kUnknown, "?");
  text += table.to_string("  ");

  if (const int hidden = disallowed_count(inventory); hidden > 0) {
    text += fmt::format("  not ours to use: {} of {} hardware threads (cpuset or affinity mask)\n",
                        hidden, inventory.present.count());
  }
  if (inventory.cpu_quota) {
    text += fmt::format("  cgroup CPU quota: {:.2f} CPUs\n", *inventory.cpu_quota);
  }
  return text;
}

std::string topology_json(const NodeInventory& inventory) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["hostname"] = inventory.hostname;
  json["source"] = inventory.source;
  json["package_count"] = inventory.package_count;
  json["allowed"] = inventory.allowed.to_string();
  json["present"] = inventory.present.to_string();
  json["cpu_quota"] = inventory.cpu_quota ? Json(*inventory.cpu_quota) : Json(nullptr);
  json["numa_nodes"] = Json::array();
  for (const NumaNode& node : inventory.numa_nodes) {
    json["numa_nodes"].push_back({{"os_index", node.os_index},
                                  {"memory_bytes", node.memory_bytes},
                                  {"cpus", node.cpus.to_string()}});
  }
  json["cores"] = Json::array();
  for (const Core& core : inventory.cores) {
    json["cores"].push_back({{"logical_index", core.logical_index},
                             {"package", index_json(core.package)},
                             {"numa_node", index_json(core.numa_node)},
                             {"l3", index_json(core.l3)},
                             {"cpus", core.pus.to_string()}});
  }
  json["gpus"] = Json::array();
  for (const Gpu& gpu : inventory.gpus) {
    json["gpus"].push_back({{"index", gpu.visible_ordinal},
                            {"bus_id", gpu.bus_id},
                            {"uuid", gpu.uuid},
                            {"model", gpu.model},
                            {"numa_node", index_json(gpu.numa_node)}});
  }
  json["nics"] = Json::array();
  for (const Nic& nic : inventory.nics) {
    json["nics"].push_back(
        {{"name", nic.name}, {"bus_id", nic.bus_id}, {"numa_node", index_json(nic.numa_node)}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace muster::topology
