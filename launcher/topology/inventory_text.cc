#include "launcher/topology/inventory_text.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "base/text_table.h"

namespace muster::topology {
namespace {

std::string index_text(int index) {
  return index == kUnknown ? "?" : std::to_string(index);
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

// "GPU-1b2c3d4e…": as much as CUDA_VISIBLE_DEVICES needs to tell GPUs apart.
std::string short_uuid(const std::string& uuid) {
  constexpr std::size_t kShown = 12;
  return uuid.size() <= kShown + 1 ? uuid : uuid.substr(0, kShown) + "…";
}

std::string nvlinks_text(const Gpu& gpu) {
  int to_switches = 0;
  int to_gpus = 0;
  for (const NvLink& link : gpu.nvlinks) (link.to_switch ? to_switches : to_gpus) += link.count;
  std::vector<std::string> parts;
  if (to_switches > 0) parts.push_back(std::to_string(to_switches) + " to switches");
  if (to_gpus > 0) parts.push_back(std::to_string(to_gpus) + " to GPUs");
  return join(parts, ", ");
}

std::string processes_text(const Gpu& gpu) {
  std::vector<std::string> parts;
  for (const GpuProcess& process : gpu.processes) {
    std::string text = process.name.empty() ? "process" : process.name;
    text += " " + std::to_string(process.pid);
    if (process.memory_bytes > 0) text += " (" + format_bytes(process.memory_bytes) + ")";
    parts.push_back(std::move(text));
  }
  return join(parts, ", ");
}

// Where a device is: "1", or "?" with the package when that is known alone.
std::string place_text(int numa_node, int package) {
  if (numa_node != kUnknown || package == kUnknown) return index_text(numa_node);
  return "? (package " + std::to_string(package) + ")";
}

std::string speed_text(double gigabits_per_second) {
  return gigabits_per_second > 0 ? fmt::format("{:g} Gb/s", gigabits_per_second) : "";
}

std::string gpus_text(const NodeInventory& inventory) {
  using Align = TextTable::Align;
  if (inventory.gpus.empty() && inventory.hidden_gpus.empty()) return "";
  TextTable table({{"GPU", Align::kRight},
                   {"bus id"},
                   {"UUID"},
                   {"model"},
                   {"memory", Align::kRight},
                   {"NUMA", Align::kRight},
                   {"NUMA by"},
                   {"NVLink"},
                   {"used by"},
                   {"hidden because"}});
  const auto add = [&](const std::vector<Gpu>& gpus) {
    for (const Gpu& gpu : gpus) {
      const bool hidden = gpu.visible_ordinal == kUnknown;
      table.add_row({hidden ? "hidden" : std::to_string(gpu.visible_ordinal), gpu.bus_id,
                     short_uuid(gpu.uuid), gpu.model + (gpu.is_instance() ? " (instance)" : ""),
                     gpu.memory_bytes == 0 ? "" : format_bytes(gpu.memory_bytes),
                     place_text(gpu.numa_node, gpu.package), to_string(gpu.locality_source),
                     nvlinks_text(gpu), processes_text(gpu), gpu.hidden_because});
    }
  };
  add(inventory.gpus);
  add(inventory.hidden_gpus);
  const std::string source = inventory.gpu_source.empty() ? "" : " (" + inventory.gpu_source + ")";
  return "GPUs" + source + "\n" + table.without_empty_columns().to_string("  ");
}

std::string nics_text(const NodeInventory& inventory) {
  using Align = TextTable::Align;
  if (inventory.nics.empty()) return "";
  TextTable table({{"NIC"},
                   {"bus id"},
                   {"kind"},
                   {"interface"},
                   {"link"},
                   {"speed", Align::kRight},
                   {"NUMA", Align::kRight},
                   {"NUMA by"},
                   {"not given to ranks"}});
  for (const Nic& nic : inventory.nics) {
    table.add_row({nic.name, nic.bus_id, to_string(nic.kind), nic.interface,
                   nic.state == LinkState::kUntold ? "" : to_string(nic.state),
                   speed_text(nic.gigabits_per_second), place_text(nic.numa_node, nic.package),
                   to_string(nic.locality_source), nic.unfit});
  }
  return "NICs\n" + table.without_empty_columns().to_string("  ");
}

std::string notes_text(const NodeInventory& inventory) {
  std::string text;
  if (const auto& file = inventory.nccl_file; file) {
    text += fmt::format("  NCCL topology file: {} (from {}) {}\n", file->path, file->named_by,
                        file->used ? "holds, and is used" : "is not used: " + file->why_not);
  }
  for (const Note& note : inventory.notes) {
    text += fmt::format("  {}{}: {}\n", note.kind == Note::Kind::kWarning ? "warning: " : "",
                        note.subject, note.text);
    if (!note.hint.empty()) text += "    hint: " + note.hint + "\n";
  }
  return text.empty() ? "" : "notes\n" + text;
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
  for (const NumaNode& node : inventory.numa_nodes) {
    add_row(node.os_index,
            memory_text(node.memory_bytes) + (node.memory_allowed ? "" : " (not ours)"));
  }
  if (cores_near(inventory, kUnknown) > 0) add_row(kUnknown, "?");
  text += table.to_string("  ");

  if (const int hidden = disallowed_count(inventory); hidden > 0) {
    text += fmt::format("  not ours to use: {} of {} hardware threads (cpuset or affinity mask)\n",
                        hidden, inventory.present.count());
  }
  if (inventory.cpu_quota) {
    text += fmt::format("  cgroup CPU quota: {:.2f} CPUs\n", *inventory.cpu_quota);
  }
  return text + gpus_text(inventory) + nics_text(inventory) + notes_text(inventory);
}

}  // namespace muster::topology
