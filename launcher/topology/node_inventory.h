// What one node has and may use, as plain data: the input of planning.
//
// Every index says which index space it is in.  Only launcher/topology talks to hwloc, NVML and
// sysfs; nothing else converts between their numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/cpu_set.h"

namespace muster::topology {

inline constexpr int kUnknown = -1;  // locality that nobody could tell; never silently node 0

struct Core {
  int logical_index = 0;     // hwloc logical index among all cores of the machine
  int package = kUnknown;    // OS index of the package (socket)
  int numa_node = kUnknown;  // OS index of the NUMA node
  int l3 = kUnknown;         // hwloc logical index of the L3 cache
  CpuSet pus;                // OS indexes of its hardware threads that we may use; never empty
  // Its number among the cores that the cpuset allows, whatever our affinity mask: how hwloc counts
  // for programs that leave the others out, as mpirun does.
  int allowed_index = 0;

  friend bool operator==(const Core&, const Core&) = default;
};

struct NumaNode {
  int os_index = 0;
  std::uint64_t memory_bytes = 0;  // 0: unknown
  CpuSet cpus;  // allowed PUs near it, OS indexes; may be empty (GPU memory, CXL, a cpuset)
  CpuSet present_cpus = {};         // all PUs near it; empty: memory without CPUs
  int package = kUnknown;           // OS index
  bool memory_allowed = true;       // by the cpuset's mems
  std::vector<int> distances = {};  // to each of NodeInventory::numa_nodes; empty: unknown

  friend bool operator==(const NumaNode&, const NumaNode&) = default;
};

// Who told where a device is, from the most trusted on.
enum class LocalitySource {
  kNobody,    // numa_node is kUnknown
  kOverride,  // the user's file
  kGpusFile,  // the list that `--gpus` names
  kNcclFile,  // an NCCL topology XML that holds against sysfs
  kSysfs,     // the kernel's numa_node
  kNvml,      // NVIDIA's driver, by memory or CPUs near the GPU
  kHwloc,     // the nearest object above it that has CPUs
  kOnlyNode,  // the machine has one NUMA node
};

// "sysfs", "NCCL topology file", …
const char* to_string(LocalitySource source);

struct Locality {
  int numa_node = kUnknown;  // OS index
  int package = kUnknown;    // OS index; known where numa_node is, or alone
  LocalitySource source = LocalitySource::kNobody;

  friend bool operator==(const Locality&, const Locality&) = default;
};

// A process that uses a GPU and is none of ours.
struct GpuProcess {
  int pid = 0;
  std::string name;                // "python3"; "" unknown
  std::uint64_t memory_bytes = 0;  // 0: unknown

  friend bool operator==(const GpuProcess&, const GpuProcess&) = default;
};

struct NvLink {
  std::string bus_id;  // of the other end: a GPU, or an NVSwitch
  int count = 0;
  bool to_switch = false;

  friend bool operator==(const NvLink&, const NvLink&) = default;
};

// A GPU, or one instance of a GPU that is partitioned (MIG): what a process can be given.
struct Gpu {
  int visible_ordinal = 0;   // position in the visible list, what LOCAL_RANK indexes
  std::string uuid;          // "GPU-…", "MIG-…"; "" where nobody could tell
  std::string bus_id;        // "0001:00:00.0"; of the parent for an instance; "" unknown
  int numa_node = kUnknown;  // OS index
  std::string model;         // "NVIDIA A100-SXM4-40GB"
  int package = kUnknown;    // OS index
  LocalitySource locality_source = LocalitySource::kNobody;
  int physical_index = kUnknown;   // NVML's index, or that of /dev/nvidiaN; of the parent
  std::string parent_uuid = {};    // of the partitioned GPU that it is an instance of; else ""
  std::uint64_t memory_bytes = 0;  // 0: unknown
  std::vector<std::string> upstream = {};  // PCI bridges above it, outermost first; may be empty
  std::vector<NvLink> nvlinks = {};
  std::vector<GpuProcess> processes = {};  // that use it now
  int vendor = 0;                          // of the PCI device: 0x10de NVIDIA; 0: unknown
  int gpu_instance = kUnknown;             // of an instance: its numbers in NVIDIA's old names,
  int compute_instance = kUnknown;         // MIG-GPU-UUID/gpu instance/compute instance
  std::string hidden_because = {};         // why no rank sees it; "" for a visible one

  // Of an instance that nobody but its user showed us, the parent may be unknown.
  bool is_instance() const { return !parent_uuid.empty() || uuid.starts_with("MIG-"); }

  friend bool operator==(const Gpu&, const Gpu&) = default;
};

enum class NicKind { kEthernet, kInfiniBand, kRoce, kEfa, kOther };
enum class LinkState { kUntold, kActive, kDown };

const char* to_string(NicKind kind);
const char* to_string(LinkState state);

// A network device with hardware of its own: an RDMA device, or an Ethernet interface without one.
struct Nic {
  std::string name;          // "mlx5_0" (RDMA device), "eth0"
  std::string bus_id;        // "" unknown
  int numa_node = kUnknown;  // OS index
  int package = kUnknown;    // OS index
  LocalitySource locality_source = LocalitySource::kNobody;
  NicKind kind = NicKind::kOther;
  int port = 0;  // RDMA port number; 0: not an RDMA device
  LinkState state = LinkState::kUntold;
  double gigabits_per_second = 0;          // 0: unknown
  std::string interface = {};              // the network interface of an RDMA device; may be ""
  std::string physical_function = {};      // bus id, of a virtual function; else ""
  std::vector<std::string> upstream = {};  // PCI bridges above it, outermost first
  std::string unfit = {};                  // why ranks are not given it: "down", "storage"; "" fit

  bool is_rdma() const { return port > 0; }

  friend bool operator==(const Nic&, const Nic&) = default;
};

// Something that was found out on the way and that a person may want to know.
struct Note {
  enum class Kind { kInfo, kWarning };

  Kind kind = Kind::kInfo;
  std::string subject;  // "GPUs", "NCCL topology file", "CUDA_VISIBLE_DEVICES"
  std::string text;     // what was used, what is missing or was ignored, and why
  std::string hint = {};

  friend bool operator==(const Note&, const Note&) = default;
};

// An NCCL topology file that was looked at, and whether it holds for this node.
struct NcclTopologyFile {
  std::string path;
  std::string named_by;        // "NCCL_TOPO_FILE", "/etc/nccl.conf", "the place that … uses"
  bool used = false;           // it holds
  std::string why_not = {};    // when it does not
  bool found_by_nccl = false;  // NCCL reads it without being told by us

  friend bool operator==(const NcclTopologyFile&, const NcclTopologyFile&) = default;
};

// A line of an nccl.conf: NCCL takes it for a variable that the environment does not have.
struct NcclSetting {
  std::string name;  // "NCCL_IB_HCA"
  std::string value;
  std::string file;  // "/etc/nccl.conf"

  friend bool operator==(const NcclSetting&, const NcclSetting&) = default;
};

struct NodeInventory {
  // Defined in one place, because each file that has one would hold hundreds of lines of them.
  NodeInventory();
  NodeInventory(const NodeInventory&);
  NodeInventory(NodeInventory&&) noexcept;
  NodeInventory& operator=(const NodeInventory&);
  NodeInventory& operator=(NodeInventory&&) noexcept;
  ~NodeInventory();

  std::string hostname;
  std::vector<Core> cores;           // allowed ones only, ascending logical index
  std::vector<NumaNode> numa_nodes;  // all of the machine's, ascending OS index
  std::vector<Gpu> gpus;             // visible ones in visible order
  std::vector<Nic> nics;             // RDMA devices first, by name
  int package_count = 0;
  CpuSet allowed;                   // PUs: cgroup cpuset ∩ affinity mask, OS indexes
  CpuSet present;                   // PUs of the whole machine, OS indexes
  std::optional<double> cpu_quota;  // CPUs worth of time that the cgroup grants; nullopt: no limit
  std::string source;               // "hwloc 2.9.0, live" or the XML file's name
  std::string gpu_source = {};      // "NVML 12.535.104"; "" when GPUs were not looked for
  std::vector<Gpu> hidden_gpus = {};  // there, and not visible: ordinal is kUnknown
  std::vector<Note> notes = {};
  std::optional<NcclTopologyFile> nccl_file = {};
  std::vector<NcclSetting> nccl_settings = {};  // of nccl.conf, each name once

  friend bool operator==(const NodeInventory&, const NodeInventory&) = default;
};

}  // namespace muster::topology
