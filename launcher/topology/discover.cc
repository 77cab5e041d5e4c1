#include "launcher/topology/discover.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/files.h"
#include "base/text.h"
#include "launcher/topology/gpu_search.h"
#include "launcher/topology/gpus_file.h"
#include "launcher/topology/hwloc_source.h"
#include "launcher/topology/inventory_json.h"
#include "launcher/topology/locality.h"
#include "launcher/topology/locality_files.h"
#include "launcher/topology/network_devices.h"
#include "launcher/topology/nic_fitness.h"
#include "launcher/topology/numa_check.h"
#include "launcher/topology/recorded_devices.h"
#include "launcher/topology/sysfs_pci.h"
#include "launcher/topology/visible_gpus.h"

namespace muster::topology {
namespace {

constexpr std::size_t kLargestFile = 4U << 20;  // of those that people write

Result<std::string> read_small_file(const std::string& what, const std::string& file) {
  auto text = read_regular_file(file, kLargestFile);
  if (text) return text;
  Error error = std::move(text).error();
  error.code = ErrorCode::kResources;
  return Failure(std::move(error).with_context("cannot use " + what + " " + file));
}

// GPUs of a file replace those that were found, so that a plan can be tried for others.
Result<> take_gpus_file(const std::string& file, NodeInventory& inventory) {
  MUSTER_TRY_ASSIGN(const std::string text, read_small_file("GPU file", file));
  MUSTER_TRY_ASSIGN(std::vector<Gpu> gpus, parse_gpus(text, file));
  if (!inventory.gpus.empty()) {
    inventory.notes.push_back({Note::Kind::kInfo, "GPUs",
                               fmt::format("the {} of {} stand in for the {} that {} has",
                                           counted(std::ssize(gpus), "GPU"), file,
                                           inventory.gpus.size(), inventory.source)});
  }
  inventory.gpus = std::move(gpus);
  inventory.hidden_gpus.clear();
  inventory.gpu_source = std::filesystem::path(file).filename().string();
  return {};
}

void add_notes(std::vector<Note> notes, NodeInventory& inventory) {
  std::move(notes.begin(), notes.end(), std::back_inserter(inventory.notes));
}

void look_for_gpus(const TopologyOptions& options, const std::vector<PciDevice>& pci,
                   NodeInventory& inventory) {
  GpuFindings found = find_gpus({options.root, pci, options.environment});
  VisibleGpus seen = visible_gpus(std::move(found.gpus), options.environment,
                                  {found.left_out, found.instances_known});
  inventory.gpus = std::move(seen.visible);
  inventory.hidden_gpus = std::move(seen.hidden);
  inventory.gpu_source = std::move(found.source);
  add_notes(std::move(found.notes), inventory);
  add_notes(std::move(seen.notes), inventory);
}

Result<NodeInventory> discover_live(const TopologyOptions& options) {
  MUSTER_TRY_ASSIGN(NodeInventory inventory, read_cpus(options.root));
  trust_numa_cpus(numa_cpus_of_kernel(options.root), inventory);
  LocalityClaims claims;
  claims.pci = sysfs_pci_devices(options.root);
  if (options.gpus_file.empty()) {
    look_for_gpus(options, claims.pci, inventory);
  } else {
    MUSTER_TRY(take_gpus_file(options.gpus_file, inventory));
  }
  inventory.nics = find_nics(options.root, claims.pci);
  take_nccl_files(options.root, options.environment, inventory, claims);
  MUSTER_TRY(take_override_file(options.override_file, inventory, claims));
  if (options.environment.contains("HWLOC_PCI_LOCALITY")) {
    inventory.notes.push_back({Note::Kind::kInfo, "locality",
                               "HWLOC_PCI_LOCALITY is not read: sysfs tells where devices are",
                               "name an override file by MUSTER_TOPOLOGY_OVERRIDE"});
  }
  settle_locality(inventory, claims);
  return inventory;
}

// What `muster topo --export` found where it ran, word for word.
Result<> take_exported(const std::string& text, const std::string& file, NodeInventory& inventory) {
  auto devices = devices_from_json(text);
  if (!devices) {
    return Failure(
        std::move(devices).error().with_context("cannot use the devices in topology file " + file));
  }
  inventory.gpu_source = std::move(devices->gpu_source);
  inventory.gpus = std::move(devices->gpus);
  inventory.hidden_gpus = std::move(devices->hidden_gpus);
  inventory.nics = std::move(devices->nics);
  inventory.cpu_quota = devices->cpu_quota;
  return {};
}

Result<NodeInventory> discover_recorded(const TopologyOptions& options) {
  MUSTER_TRY_ASSIGN(RecordedMachine machine, read_recorded_machine(options.xml_file));
  NodeInventory& inventory = machine.inventory;
  inventory.gpus = recorded_gpus(machine.devices);
  inventory.nics = recorded_nics(machine.devices);
  mark_unfit(inventory.nics);
  if (!inventory.gpus.empty()) inventory.gpu_source = inventory.source;
  if (!machine.exported_devices.empty()) {
    MUSTER_TRY(take_exported(machine.exported_devices, options.xml_file, inventory));
  }
  if (!options.gpus_file.empty()) MUSTER_TRY(take_gpus_file(options.gpus_file, inventory));
  LocalityClaims claims;
  for (RecordedDevice& device : machine.devices) claims.pci.push_back(std::move(device.pci));
  MUSTER_TRY(take_override_file(options.override_file, inventory, claims));
  settle_locality(inventory, claims);
  return std::move(inventory);
}

}  // namespace

Result<NodeInventory> discover(const TopologyOptions& options) {
  MUSTER_TRY_ASSIGN(NodeInventory inventory,
                    options.xml_file.empty() ? discover_live(options) : discover_recorded(options));
  add_notes(numa_notes(inventory), inventory);
  if (inventory.cores.empty()) {
    return fail(ErrorCode::kResources,
                "no CPU of " + inventory.hostname + " may be used: its topology has CPUs " +
                    inventory.present.to_string() + " and none of them is allowed",
                "check the cpuset of the container and the affinity mask of the caller");
  }
  return inventory;
}

}  // namespace muster::topology
