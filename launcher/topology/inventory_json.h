// What a node has, for programs: `muster topo --format json`, and the way back for its devices.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

// One JSON object; sets of CPUs are Linux lists, unknown locality and indexes are null.  Fields are
// added, never renamed.  Ends in a newline.
std::string topology_json(const NodeInventory& inventory);

// The same in one line, for another node: a head reads thousands of them.
std::string inventory_line(const NodeInventory& inventory);

// The way back, of what these have written: from another node of the same Muster.  Not all
// of it: what concerns nobody but that node (nccl.conf) is left out.  Errors: kResources.
Result<NodeInventory> inventory_from_json(std::string_view text);

// What is in it beside CPUs and memory.
struct Devices {
  std::string gpu_source;
  std::vector<Gpu> gpus;
  std::vector<Gpu> hidden_gpus;
  std::vector<Nic> nics;
  std::vector<Note> notes;
  std::optional<double> cpu_quota;

  friend bool operator==(const Devices&, const Devices&) = default;
};

// Of a text like topology_json's; a list that is missing is empty, a field that is missing is
// unknown, and visible GPUs count in the order of their list where they have no index.  Errors
// (kResources) say what is wrong, without a file: who reads one adds it.
Result<Devices> devices_from_json(std::string_view text);

// The same fields in one line, for devices_from_json.
std::string devices_json(const Devices& devices);

}  // namespace muster::topology
