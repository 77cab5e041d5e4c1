// NCCL's topology XML: where a virtual machine's maker says that its devices are.
//
// pugixml is known to nccl_topology.cc alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_set.h"
#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

struct NcclCpu {
  int numa_node = kUnknown;  // OS index
  CpuSet affinity;           // OS indexes; empty: the file gives none
  std::string mask;          // as written
};

// A PCI function that the file places, GPUs and NICs among them.
struct NcclDevice {
  std::string bus_id;
  int numa_node = kUnknown;
  bool is_gpu = false;
  std::vector<std::string> upstream;  // bus ids of the bridges above it, outermost first
  std::vector<std::string> nets;      // names of its network devices: "mlx5_0"; may be empty
};

struct NcclTopology {
  std::vector<NcclCpu> cpus;
  std::vector<NcclDevice> devices;  // in file order; bridges are not among them

  // nullptr when the file does not place it.
  const NcclDevice* find(std::string_view bus_id) const;
};

// Size, depth and counts are bounded.  Errors are kResources, with the line.
Result<NcclTopology> parse_nccl_topology(std::string_view text, const std::string& file_name = "");

// Why the file is none of this node: its CPU masks overlap, differ from the kernel's, or a GPU is
// not there exactly once.  "" when it holds.  Needs the inventory's NUMA nodes and GPUs.
std::string why_it_does_not_hold(const NcclTopology& topology, const NodeInventory& inventory);

// What a person may want to know of a file that holds: GPUs that the kernel has elsewhere.
std::vector<Note> contradictions(const NcclTopology& topology, const NodeInventory& inventory);

}  // namespace muster::topology
