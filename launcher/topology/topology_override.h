// The user's file that says where devices are, when everybody else is wrong.  yaml-cpp is known to
// its .cc alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

struct DeviceOverride {
  std::string name;              // as written: a bus id, a UUID, "mlx5_0"
  std::optional<int> numa_node;  // OS index
  std::optional<bool> usable;    // NICs: whether ranks are given it
  Location location;             // of its name
  Location numa_location = {};   // of numa_node's value
};

struct TopologyOverride {
  std::string file;
  std::vector<DeviceOverride> gpus;
  std::vector<DeviceOverride> nics;

  // By UUID or bus id, of an instance also its parent's; nullptr when the file does not name it.
  const DeviceOverride* find(const Gpu& gpu) const;
  // By name or bus id.
  const DeviceOverride* find(const Nic& nic) const;
};

// YAML or JSON: {gpus: {BUS_ID or UUID: {numa_node: 3}}, nics: {NAME or BUS_ID: {numa_node: 1,
// usable: no}}}.  Errors are kConfig, with their place.
Result<TopologyOverride> parse_topology_override(std::string_view text,
                                                 const std::string& file_name);

// An error for a NUMA node that the machine does not have, a note for each device that is not
// there.
Result<std::vector<Note>> check_topology_override(const TopologyOverride& override_file,
                                                  const NodeInventory& inventory);

// What it says of NICs' fitness: `usable` has the last word.
void apply_usability(const TopologyOverride& override_file, std::vector<Nic>& nics);

}  // namespace muster::topology
