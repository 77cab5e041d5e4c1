// The adapter to hwloc, and the only place that converts between its numbers and the kernel's.
//
// Live discovery is on the start path of every run, so it asks hwloc for CPUs, caches and NUMA
// nodes only: no devices, no distances, no plugins (loading the OpenCL and GL ones takes longer
// than all the rest), and none of the x86 component's visits to every CPU unless the kernel's own
// description names no cores.  Disallowed CPUs are kept while reading, so that logical indexes
// count over the whole machine, and are left out of the inventory.
#include "launcher/topology/hwloc_source.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <sched.h>
#include <unistd.h>

#include <hwloc.h>

#include "base/files.h"
#include "launcher/topology/cgroup_quota.h"

namespace muster::topology {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

// An environment variable with another value, or none, for a while.
class VariableFor {
 public:
  VariableFor(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  VariableFor(const VariableFor&) = delete;
  VariableFor& operator=(const VariableFor&) = delete;
  ~VariableFor() { set(before_ ? before_->c_str() : nullptr); }

 private:
  void set(const char* value) {
    if (value != nullptr) {
      ::setenv(name_, value, 1);
    } else {
      ::unsetenv(name_);
    }
  }

  const char* name_;
  std::optional<std::string> before_;
};

Result<Topology> new_topology() {
  // hwloc offers no call to leave its plugins alone, only this variable; a folder that does not
  // exist is silently empty.
  const VariableFor no_plugins("HWLOC_PLUGINS_PATH", "/dev/null");
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "starting hwloc"));
  }
  Topology topology(raw);
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
  hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  // Kept even where they add no structure, as a core with one hardware thread.
  for (const auto type : {HWLOC_OBJ_CORE, HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L3CACHE}) {
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  }
  hwloc_topology_set_flags(
      raw, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_NO_DISTANCES |
               HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS | HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS);
  return topology;
}

Result<Topology> load_live(bool with_x86) {
  // Left from somebody's test they would make another machine of this one.
  const VariableFor no_file("HWLOC_XMLFILE", nullptr);
  const VariableFor no_synthetic("HWLOC_SYNTHETIC", nullptr);
  const VariableFor no_root("HWLOC_FSROOT", nullptr);
  // Without /sys it complains and then finds the CPUs in another way.
  const char* chosen = std::getenv("HWLOC_HIDE_ERRORS");
  const VariableFor quiet("HWLOC_HIDE_ERRORS",
                          chosen != nullptr ? std::string(chosen).c_str() : "2");
  MUSTER_TRY_ASSIGN(Topology topology, new_topology());
  if (!with_x86) {
    // A component that this hwloc does not have is refused, which is as good.
    hwloc_topology_set_components(topology.get(), HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  }
  if (hwloc_topology_load(topology.get()) != 0) {
    return Failure(
        system_error(ErrorCode::kInternal, "reading this machine's topology with hwloc"));
  }
  return topology;
}

// The major version that the root element names; nullopt when this is no hwloc XML at all.
std::optional<int> xml_major_version(const std::string& text) {
  const std::size_t root = text.find("<topology");
  if (root == std::string::npos) return std::nullopt;
  const std::string tag = text.substr(root, text.find('>', root) - root);
  constexpr std::string_view kVersion = "version=\"";
  const std::size_t version = tag.find(kVersion);
  if (version == std::string::npos) return 1;  // hwloc 1 wrote none
  return std::atoi(tag.c_str() + version + kVersion.size());
}

Result<Topology> load_xml(const std::string& file) {
  constexpr std::size_t kLargestTopology = 64U << 20;
  auto text = read_file(file, kLargestTopology);
  if (!text) {
    Error error = std::move(text).error();
    error.code = ErrorCode::kResources;
    return Failure(std::move(error)
                       .with_context("cannot use topology file " + file)
                       .with_hint("give an hwloc XML file; lstopo writes one: lstopo node.xml"));
  }
  const std::optional<int> version = xml_major_version(*text);
  if (!version) {
    return fail(ErrorCode::kResources,
                "cannot use topology file " + file + ": it is not an hwloc XML file",
                "lstopo writes one: lstopo --of xml node.xml");
  }
  if (*version > 2) {
    return fail(ErrorCode::kResources,
                "cannot use topology file " + file + ": it was written by hwloc " +
                    std::to_string(*version) +
                    ", and hwloc " MUSTER_HWLOC_VERSION " reads 2 or older",
                "export it with: lstopo --of xml --export-xml-flags v2 node.xml");
  }
  MUSTER_TRY_ASSIGN(Topology topology, new_topology());
  const int size = static_cast<int>(text->size()) + 1;  // hwloc wants the terminating zero
  if (hwloc_topology_set_xmlbuffer(topology.get(), text->c_str(), size) != 0 ||
      hwloc_topology_load(topology.get()) != 0) {
    return fail(ErrorCode::kResources,
                "cannot use topology file " + file + ": hwloc cannot read it, it is damaged",
                "check it with: lstopo -i " + file);
  }
  return topology;
}

CpuSet to_cpu_set(hwloc_const_bitmap_t bitmap) {
  CpuSet set;
  for (int cpu = hwloc_bitmap_first(bitmap); cpu >= 0; cpu = hwloc_bitmap_next(bitmap, cpu)) {
    set.insert(cpu);
  }
  return set;
}

// An OS index as our headers want it; hwloc says "unknown" with the largest unsigned.
int os_index_of(hwloc_obj_t object) {
  if (object == nullptr || object->os_index == HWLOC_UNKNOWN_INDEX) return kUnknown;
  return static_cast<int>(object->os_index);
}

// The CPUs of our affinity mask.  The kernel's mask may be longer than cpu_set_t: grow until it
// fits.
Result<CpuSet> affinity_mask() {
  for (int bits = 1024; bits <= 1 << 20; bits *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(static_cast<std::size_t>(bits)), [](cpu_set_t* set) { CPU_FREE(set); });
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(bits));
    if (::sched_getaffinity(0, bytes, mask.get()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    CpuSet cpus;
    for (int cpu = 0; cpu < bits; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, mask.get())) cpus.insert(cpu);
    }
    return cpus;
  }
  return Failure(system_error(ErrorCode::kInternal, "reading our CPU affinity mask"));
}

// Memory of several kinds may sit beside the same CPUs, or a node may span others: the smallest one
// around the core is its home, and the lowest OS index among equals (plain memory comes first).
int home_numa_node(hwloc_topology_t topology, hwloc_obj_t core) {
  int home = kUnknown;
  int home_size = 0;
  hwloc_obj_t node = nullptr;
  while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
    if (!hwloc_bitmap_isincluded(core->cpuset, node->cpuset)) continue;
    const int size = hwloc_bitmap_weight(node->cpuset);
    const int index = os_index_of(node);
    if (home != kUnknown && (size > home_size || (size == home_size && index > home))) continue;
    home = index;
    home_size = size;
  }
  return home;
}

std::vector<Core> cores_of(hwloc_topology_t topology, const CpuSet& allowed) {
  const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
  const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  std::vector<Core> cores;
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr) {
    Core core;
    core.pus = to_cpu_set(object->cpuset).intersection(allowed);
    if (core.pus.empty()) continue;
    core.logical_index = static_cast<int>(object->logical_index);
    core.package = os_index_of(hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, object));
    core.numa_node = home_numa_node(topology, object);
    const hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, object);
    core.l3 = l3 == nullptr ? kUnknown : static_cast<int>(l3->logical_index);
    cores.push_back(std::move(core));
  }
  return cores;
}

// All of them; what we may use of each is in `cpus` and `memory_allowed`.
std::vector<NumaNode> numa_nodes_of(hwloc_topology_t topology, const CpuSet& allowed) {
  const hwloc_const_bitmap_t allowed_nodes = hwloc_topology_get_allowed_nodeset(topology);
  std::vector<NumaNode> nodes;
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, object)) != nullptr) {
    if (os_index_of(object) == kUnknown) continue;
    NumaNode node;
    node.os_index = os_index_of(object);
    node.memory_bytes = object->attr->numanode.local_memory;
    node.present_cpus = to_cpu_set(object->cpuset);
    node.cpus = node.present_cpus.intersection(allowed);
    node.package =
        os_index_of(hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, object->parent));
    node.memory_allowed = hwloc_bitmap_isset(allowed_nodes, object->os_index) != 0;
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.os_index < b.os_index; });
  return nodes;
}

NodeInventory inventory_of(hwloc_topology_t topology, const CpuSet& mask) {
  NodeInventory inventory;
  inventory.present = to_cpu_set(hwloc_topology_get_topology_cpuset(topology));
  inventory.allowed = to_cpu_set(hwloc_topology_get_allowed_cpuset(topology))
                          .intersection(inventory.present)
                          .intersection(mask);
  inventory.cores = cores_of(topology, inventory.allowed);
  inventory.numa_nodes = numa_nodes_of(topology, inventory.allowed);
  inventory.package_count = std::max(0, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE));
  return inventory;
}

std::string own_hostname() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

Result<NodeInventory> discover_live() {
  MUSTER_TRY_ASSIGN(Topology topology, load_live(false));
  if (hwloc_get_nbobjs_by_type(topology.get(), HWLOC_OBJ_CORE) <= 0) {
    MUSTER_TRY_ASSIGN(topology, load_live(true));
  }
  MUSTER_TRY_ASSIGN(const CpuSet mask, affinity_mask());
  NodeInventory inventory = inventory_of(topology.get(), mask);
  inventory.hostname = own_hostname();
  inventory.cpu_quota = cgroup_cpu_quota("/");
  inventory.source = "hwloc " MUSTER_HWLOC_VERSION ", live";
  return inventory;
}

Result<NodeInventory> discover_xml(const std::string& file) {
  MUSTER_TRY_ASSIGN(const Topology topology, load_xml(file));
  const CpuSet all = to_cpu_set(hwloc_topology_get_topology_cpuset(topology.get()));
  NodeInventory inventory = inventory_of(topology.get(), all);
  const char* name = hwloc_obj_get_info_by_name(hwloc_get_root_obj(topology.get()), "HostName");
  const std::filesystem::path path(file);
  inventory.hostname = name != nullptr ? std::string(name) : path.stem().string();
  inventory.source = path.filename().string();
  return inventory;
}

}  // namespace

Result<NodeInventory> discover(const TopologyOptions& options) {
  const bool live = options.xml_file.empty();
  MUSTER_TRY_ASSIGN(NodeInventory inventory,
                    live ? discover_live() : discover_xml(options.xml_file));
  if (inventory.cores.empty()) {
    return fail(ErrorCode::kResources,
                "no CPU of " + inventory.hostname + " may be used: its topology has CPUs " +
                    inventory.present.to_string() + " and none of them is allowed",
                "check the cpuset of the container and the affinity mask of the caller");
  }
  return inventory;
}

}  // namespace muster::topology
