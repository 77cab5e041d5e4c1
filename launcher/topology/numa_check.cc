#include "launcher/topology/numa_check.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSubject = "NUMA";
constexpr const char* kBroken =
    "memory follows the NUMA nodes and hardware threads follow their cores; a virtual machine's "
    "description is often mended by another size or a newer image";

std::string node_names(const std::vector<int>& nodes) {
  std::vector<std::string> names;
  for (const int node : nodes) names.push_back(std::to_string(node));
  return (names.size() == 1 ? "NUMA node " : "NUMA nodes ") + join(names, ", ");
}

bool is_within(const CpuSet& inner, const CpuSet& outer) {
  return inner.intersection(outer) == inner;
}

// The node with most of the core's hardware threads, the lowest among equals.
int home_of(const Core& core, const std::vector<NumaNode>& nodes) {
  int home = kUnknown;
  int most = 0;
  for (const NumaNode& node : nodes) {
    const int shared = core.pus.intersection(node.cpus).count();
    if (shared <= most) continue;
    most = shared;
    home = node.os_index;
  }
  return home;
}

NumaNode* find_node(NodeInventory& inventory, int os_index) {
  for (NumaNode& node : inventory.numa_nodes) {
    if (node.os_index == os_index) return &node;
  }
  return nullptr;
}

std::map<int, CpuSet> cpus_by_package(const NodeInventory& inventory) {
  std::map<int, CpuSet> cpus;
  for (const Core& core : inventory.cores) {
    if (core.package != kUnknown) cpus[core.package] = cpus[core.package].united(core.pus);
  }
  return cpus;
}

// A node may be part of a package or several whole packages, never parts of two.
void note_crossed_packages(const NodeInventory& inventory, std::vector<Note>& notes) {
  const std::map<int, CpuSet> packages = cpus_by_package(inventory);
  std::vector<int> crossed;
  for (const NumaNode& node : inventory.numa_nodes) {
    if (std::any_of(packages.begin(), packages.end(), [&](const auto& package) {
          return !package.second.intersection(node.cpus).empty() &&
                 !is_within(package.second, node.cpus) && !is_within(node.cpus, package.second);
        })) {
      crossed.push_back(node.os_index);
    }
  }
  if (crossed.empty()) return;
  notes.push_back({Note::Kind::kWarning, kSubject,
                   fmt::format("{} cut{} through packages: this machine is described wrongly",
                               node_names(crossed), crossed.size() == 1 ? "s" : ""),
                   kBroken});
}

void note_split_cores(const NodeInventory& inventory, std::vector<Note>& notes) {
  std::vector<std::string> split;
  for (const Core& core : inventory.cores) {
    const bool is_split = std::any_of(
        inventory.numa_nodes.begin(), inventory.numa_nodes.end(), [&](const NumaNode& node) {
          return !core.pus.intersection(node.cpus).empty() && !is_within(core.pus, node.cpus);
        });
    if (is_split) split.push_back(core.pus.to_string());
  }
  if (split.empty()) return;
  notes.push_back(
      {Note::Kind::kWarning, kSubject,
       "hardware threads of one core are on several NUMA nodes: CPUs " + join(split, "; "),
       kBroken});
}

void note_kinds_of_memory(const NodeInventory& inventory, std::vector<Note>& notes) {
  std::vector<int> without_cpus;
  std::vector<int> forbidden;
  for (const NumaNode& node : inventory.numa_nodes) {
    if (node.present_cpus.empty()) {
      without_cpus.push_back(node.os_index);
    } else if (!node.memory_allowed && !node.cpus.empty()) {
      forbidden.push_back(node.os_index);
    }
  }
  if (!without_cpus.empty()) {
    notes.push_back({Note::Kind::kInfo, kSubject,
                     node_names(without_cpus) +
                         " without CPUs (a GPU's memory, CXL): no rank's memory is put there",
                     ""});
  }
  if (!forbidden.empty()) {
    notes.push_back({Note::Kind::kWarning, kSubject,
                     "the cpuset allows CPUs of " + node_names(forbidden) +
                         ", but none of the memory there: its ranks' memory is remote",
                     "let cpuset.mems name it too"});
  }
}

}  // namespace

std::map<int, CpuSet> numa_cpus_of_kernel(const std::string& root) {
  std::map<int, CpuSet> cpus;
  std::error_code error;
  for (fs::directory_iterator entry(fs::path(root) / "sys/devices/system/node", error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("node")) continue;
    const auto number = parse_integer(name.substr(4));
    if (!number || *number < 0 || *number > 1 << 20) continue;
    const auto text = read_file(entry->path() / "cpulist", 1 << 20);
    if (!text) continue;
    auto list = CpuSet::parse(text->substr(0, text->find('\n')));
    cpus[static_cast<int>(*number)] = list ? std::move(*list) : CpuSet();
  }
  return cpus;
}

void trust_numa_cpus(const std::map<int, CpuSet>& by_node, NodeInventory& inventory) {
  std::vector<int> changed;
  for (const auto& [os_index, cpus] : by_node) {
    const CpuSet present = cpus.intersection(inventory.present);
    NumaNode* node = find_node(inventory, os_index);
    // One without CPUs that hwloc leaves out is a GPU's memory.
    if (node == nullptr ? present.empty() : node->present_cpus == present) continue;
    if (node == nullptr) {
      inventory.numa_nodes.push_back({.os_index = os_index, .cpus = {}});
      node = &inventory.numa_nodes.back();
    }
    node->present_cpus = present;
    node->cpus = present.intersection(inventory.allowed);
    changed.push_back(os_index);
  }
  if (changed.empty()) return;
  std::sort(inventory.numa_nodes.begin(), inventory.numa_nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.os_index < b.os_index; });
  for (NumaNode& node : inventory.numa_nodes) {
    if (node.distances.size() != inventory.numa_nodes.size()) node.distances.clear();
  }
  for (Core& core : inventory.cores) core.numa_node = home_of(core, inventory.numa_nodes);
  inventory.notes.push_back({Note::Kind::kInfo, kSubject,
                             "the CPUs of " + node_names(changed) +
                                 " do not nest with caches or packages: the kernel's list is used",
                             ""});
}

std::vector<Note> numa_notes(const NodeInventory& inventory) {
  std::vector<Note> notes;
  note_crossed_packages(inventory, notes);
  note_split_cores(inventory, notes);
  note_kinds_of_memory(inventory, notes);
  if (inventory.cpu_quota && *inventory.cpu_quota < inventory.allowed.count()) {
    notes.push_back({Note::Kind::kInfo, "CPU quota",
                     fmt::format("the cgroup grants the time of {:g} of {} CPUs: threads are "
                                 "counted by it, and cores are not narrowed",
                                 *inventory.cpu_quota, inventory.allowed.count()),
                     ""});
  }
  return notes;
}

}  // namespace muster::topology
