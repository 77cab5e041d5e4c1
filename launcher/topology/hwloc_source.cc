// The adapter to hwloc, and the only place that converts between its numbers and the kernel's.
//
// Live discovery is on the start path of every run, so it asks hwloc for CPUs, caches and NUMA
// nodes only: no devices (sysfs_pci has them), no plugins (loading the OpenCL and GL ones takes
// longer than all the rest), and none of the x86 component's visits to every CPU unless the
// kernel's own description names no cores.  Disallowed CPUs are kept while reading, so that logical
// indexes count over the whole machine, and are left out of the inventory.
#include "launcher/topology/hwloc_source.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <sched.h>
#include <set>
#include <unistd.h>

#include <fmt/format.h>
#include <hwloc.h>

#include "base/files.h"
#include "base/text.h"
#include "launcher/topology/cgroup_quota.h"
#include "launcher/topology/export.h"
#include "launcher/topology/forked_answer.h"

namespace muster::topology {
namespace {

constexpr int kMostIndexes = 1 << 16;  // of CPUs and NUMA nodes: far above any machine

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

Result<Topology> new_topology(bool with_devices) {
  // hwloc offers no call to leave its plugins alone, only this variable; a folder that does not
  // exist is silently empty.
  const VariableFor no_plugins("HWLOC_PLUGINS_PATH", "/dev/null");
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "starting hwloc"));
  }
  Topology topology(raw);
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
  hwloc_topology_set_io_types_filter(
      raw, with_devices ? HWLOC_TYPE_FILTER_KEEP_IMPORTANT : HWLOC_TYPE_FILTER_KEEP_NONE);
  // Kept even where they add no structure, as a core with one hardware thread.
  for (const auto type : {HWLOC_OBJ_CORE, HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L3CACHE}) {
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  }
  hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED |
                                    HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                                    HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS);
  return topology;
}

Result<Topology> load_live(const std::string& root, bool with_x86) {
  // Left from somebody's test they would make another machine of this one.
  const VariableFor no_file("HWLOC_XMLFILE", nullptr);
  const VariableFor no_synthetic("HWLOC_SYNTHETIC", nullptr);
  const VariableFor our_root("HWLOC_FSROOT", root == "/" ? nullptr : root.c_str());
  // Without /sys it complains and then finds the CPUs in another way.
  const char* chosen = std::getenv("HWLOC_HIDE_ERRORS");
  const VariableFor quiet("HWLOC_HIDE_ERRORS",
                          chosen != nullptr ? std::string(chosen).c_str() : "2");
  MUSTER_TRY_ASSIGN(Topology topology, new_topology(false));
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

bool loads(hwloc_topology* topology, const std::string& text) {
  const int size = static_cast<int>(text.size()) + 1;  // hwloc wants the terminating zero
  return hwloc_topology_set_xmlbuffer(topology, text.c_str(), size) == 0 &&
         hwloc_topology_load(topology) == 0;
}

// hwloc keeps sets as arrays of bits, so one large index takes as many bytes as a large file. Those
// of PCI devices are their addresses, and in no set.
bool has_large_index(std::string_view text) {
  constexpr std::string_view kObject = "<object";
  constexpr std::string_view kIndex = "os_index=\"";
  for (std::size_t at = text.find(kObject); at != text.npos; at = text.find(kObject, at + 1)) {
    const std::string_view tag = text.substr(at, text.find('>', at) - at);
    const std::size_t begin = tag.find(kIndex);
    if (begin == tag.npos || tag.find("\"PCIDev\"") != tag.npos ||
        tag.find("\"Bridge\"") != tag.npos) {
      continue;
    }
    const std::string_view number = tag.substr(begin + kIndex.size());
    const auto index = parse_integer(number.substr(0, number.find('"')));
    if (!index || *index < 0 || *index >= kMostIndexes) return true;
  }
  return false;
}

// hwloc's importer trusts what it reads, and dies of some damaged files: so a child tries it first.
bool is_safe(const std::string& text) {
  constexpr std::chrono::seconds kPatience{20};
  if (has_large_index(text)) return false;
  const auto attempt = [&]() -> std::string {
    auto topology = new_topology(true);
    return topology && loads(topology->get(), text) ? "loaded" : "refused";
  };
  auto child = ForkedAnswer::ask(attempt, kPatience);
  if (!child) return true;  // where no process can be started, nothing else will go well either
  return child->wait() == ForkedAnswer::State::kAnswered && child->text() == "loaded";
}

Result<Topology> load_xml(const std::string& file, bool with_devices) {
  constexpr std::size_t kLargestTopology = 64U << 20;
  auto text = read_regular_file(file, kLargestTopology);
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
  MUSTER_TRY_ASSIGN(Topology topology, new_topology(with_devices));
  if (!is_safe(*text) || !loads(topology.get(), *text)) {
    return fail(ErrorCode::kResources,
                "cannot use topology file " + file + ": hwloc cannot read it, it is damaged",
                "check it with: lstopo -i " + file);
  }
  return topology;
}

constexpr std::string_view kSynthetic = "synthetic:";

Result<Topology> load_synthetic(const std::string& description) {
  MUSTER_TRY_ASSIGN(Topology topology, new_topology(false));
  if (hwloc_topology_set_synthetic(topology.get(), description.c_str()) != 0 ||
      hwloc_topology_load(topology.get()) != 0) {
    return fail(
        ErrorCode::kResources,
        "cannot make a topology of \"" + description +
            "\": hwloc does not understand this description",
        "write levels from the outside in, such as \"synthetic:pack:2 numa:1 core:8 pu:2\"");
  }
  return topology;
}

Result<Topology> load_recorded(const std::string& file, bool with_devices = true) {
  if (file.starts_with(kSynthetic)) return load_synthetic(file.substr(kSynthetic.size()));
  return load_xml(file, with_devices);
}

CpuSet to_cpu_set(hwloc_const_bitmap_t bitmap) {
  CpuSet set;
  // A set of a file may have no end ("0xf...f").
  for (int cpu = hwloc_bitmap_first(bitmap); cpu >= 0 && cpu < kMostIndexes;
       cpu = hwloc_bitmap_next(bitmap, cpu)) {
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

hwloc_obj_type_t core_type(hwloc_topology_t topology) {
  return hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

// The NUMA nodes that have CPUs of their own: Linux gives a CPU to one node, and hwloc says of a
// node without CPUs (GPU memory) that it has those around it.
std::set<int> nodes_with_cpus(hwloc_topology_t topology) {
  std::set<int> homes;
  hwloc_obj_t core = nullptr;
  while ((core = hwloc_get_next_obj_by_type(topology, core_type(topology), core)) != nullptr) {
    homes.insert(home_numa_node(topology, core));
  }
  return homes;
}

std::vector<Core> cores_of(hwloc_topology_t topology, const CpuSet& allowed) {
  const hwloc_obj_type_t type = core_type(topology);
  const hwloc_const_bitmap_t in_cpuset = hwloc_topology_get_allowed_cpuset(topology);
  std::vector<Core> cores;
  int allowed_index = 0;
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr) {
    Core core;
    core.allowed_index = allowed_index;
    if (hwloc_bitmap_intersects(object->cpuset, in_cpuset) != 0) ++allowed_index;
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
  const std::set<int> with_cpus = nodes_with_cpus(topology);
  std::vector<NumaNode> nodes;
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, object)) != nullptr) {
    if (os_index_of(object) == kUnknown) continue;
    NumaNode node;
    node.os_index = os_index_of(object);
    node.memory_bytes = object->attr->numanode.local_memory;
    if (with_cpus.contains(node.os_index)) node.present_cpus = to_cpu_set(object->cpuset);
    node.cpus = node.present_cpus.intersection(allowed);
    node.package = os_index_of(hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, object));
    node.memory_allowed = hwloc_bitmap_isset(allowed_nodes, object->os_index) != 0;
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.os_index < b.os_index; });
  return nodes;
}

// From each node to each, in the order of `nodes`; hwloc has them of the kernel or of the file.
void add_distances(hwloc_topology_t topology, std::vector<NumaNode>& nodes) {
  hwloc_distances_s* found = nullptr;
  unsigned count = 1;
  if (hwloc_distances_get_by_type(topology, HWLOC_OBJ_NUMANODE, &count, &found,
                                  HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
      count == 0) {
    return;
  }
  const auto release = [&](hwloc_distances_s* distances) {
    hwloc_distances_release(topology, distances);
  };
  const std::unique_ptr<hwloc_distances_s, decltype(release)> distances(found, release);
  std::map<int, std::size_t> place;  // OS index → row and column
  for (unsigned i = 0; i < found->nbobjs; ++i) place[os_index_of(found->objs[i])] = i;
  for (const NumaNode& node : nodes) {
    if (!place.contains(node.os_index)) return;
  }
  for (NumaNode& from : nodes) {
    for (const NumaNode& to : nodes) {
      const std::uint64_t value =
          found->values[place[from.os_index] * found->nbobjs + place[to.os_index]];
      from.distances.push_back(static_cast<int>(std::min<std::uint64_t>(value, 1U << 30)));
    }
  }
}

// A CPU list of /proc/self/status; nullopt where there is none.
std::optional<CpuSet> list_in_status(const std::string& root, std::string_view key) {
  const auto text = read_file(std::filesystem::path(root) / "proc/self/status", 1 << 20);
  const std::size_t at = text ? text->find("\n" + std::string(key)) : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  const std::size_t start = text->find_first_not_of(" \t", at + 1 + key.size());
  if (start == std::string::npos) return std::nullopt;
  auto list = CpuSet::parse(text->substr(start, text->find('\n', start) - start));
  return list ? std::optional(std::move(*list)) : std::nullopt;
}

// The kernel's word on our memory nodes counts also where the cgroup's files cannot be seen.
void apply_allowed_memory(const std::optional<CpuSet>& allowed, NodeInventory& inventory) {
  if (!allowed || allowed->empty()) return;
  for (NumaNode& node : inventory.numa_nodes) {
    node.memory_allowed = node.memory_allowed && allowed->contains(node.os_index);
  }
}

// Where a device hangs, by the nearest object above it that has CPUs.  The whole machine, or
// several nodes with CPUs of their own, is no place; memory of two kinds beside the same CPUs is.
Locality place_below(hwloc_topology_t topology, hwloc_obj_t above) {
  if (above == nullptr || above == hwloc_get_root_obj(topology)) return {};
  const bool is_package = above->type == HWLOC_OBJ_PACKAGE;
  Locality place;
  place.package = os_index_of(
      is_package ? above : hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, above));
  hwloc_obj_t home = nullptr;
  hwloc_obj_t node = nullptr;
  while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
    if (!hwloc_bitmap_isset(above->nodeset, node->os_index) || hwloc_bitmap_iszero(node->cpuset)) {
      continue;
    }
    if (home != nullptr && !hwloc_bitmap_isequal(home->cpuset, node->cpuset)) return place;
    if (home == nullptr || node->os_index < home->os_index) home = node;
  }
  if (home == nullptr) return place;
  place.numa_node = os_index_of(home);
  place.source = LocalitySource::kHwloc;
  return place;
}

std::string bus_id_of(const hwloc_obj_attr_u::hwloc_pcidev_attr_s& pci) {
  return canonical_bus_id(
      fmt::format("{:04x}:{:02x}:{:02x}.{:x}", pci.domain, pci.bus, pci.dev, pci.func));
}

OsDevice os_device_of(hwloc_obj_t object) {
  OsDevice device;
  switch (object->attr->osdev.type) {
    case HWLOC_OBJ_OSDEV_GPU: device.kind = OsDevice::Kind::kGpu; break;
    case HWLOC_OBJ_OSDEV_COPROC: device.kind = OsDevice::Kind::kCoprocessor; break;
    case HWLOC_OBJ_OSDEV_NETWORK: device.kind = OsDevice::Kind::kNetwork; break;
    case HWLOC_OBJ_OSDEV_OPENFABRICS: device.kind = OsDevice::Kind::kRdma; break;
    default: break;
  }
  device.name = object->name == nullptr ? "" : object->name;
  for (unsigned i = 0; i < object->infos_count; ++i) {
    device.facts[object->infos[i].name] = object->infos[i].value;
  }
  return device;
}

std::vector<RecordedDevice> devices_of(hwloc_topology_t topology) {
  std::vector<RecordedDevice> devices;
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_pcidev(topology, object)) != nullptr) {
    const hwloc_obj_attr_u::hwloc_pcidev_attr_s& attributes = object->attr->pcidev;
    if (!may_be_gpu(attributes.class_id) && !may_be_nic(attributes.class_id)) continue;
    RecordedDevice device;
    device.pci.bus_id = bus_id_of(attributes);
    device.pci.device_class = attributes.class_id;
    device.pci.vendor = attributes.vendor_id;
    device.pci.device = attributes.device_id;
    device.pci.locality = place_below(topology, hwloc_get_non_io_ancestor_obj(topology, object));
    for (hwloc_obj_t above = object->parent; above != nullptr; above = above->parent) {
      if (above->type != HWLOC_OBJ_BRIDGE ||
          above->attr->bridge.upstream_type != HWLOC_OBJ_BRIDGE_PCI) {
        continue;
      }
      auto& upstream = device.pci.upstream;
      upstream.insert(upstream.begin(), bus_id_of(above->attr->bridge.upstream.pci));
    }
    for (hwloc_obj_t child = object->io_first_child; child != nullptr;
         child = child->next_sibling) {
      if (child->type != HWLOC_OBJ_OS_DEVICE) continue;
      device.os_devices.push_back(os_device_of(child));
      device.pci.names.push_back(device.os_devices.back().name);
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

NodeInventory inventory_of(hwloc_topology_t topology, const CpuSet& mask) {
  NodeInventory inventory;
  inventory.present = to_cpu_set(hwloc_topology_get_topology_cpuset(topology));
  inventory.allowed = to_cpu_set(hwloc_topology_get_allowed_cpuset(topology))
                          .intersection(inventory.present)
                          .intersection(mask);
  inventory.cores = cores_of(topology, inventory.allowed);
  inventory.numa_nodes = numa_nodes_of(topology, inventory.allowed);
  add_distances(topology, inventory.numa_nodes);
  inventory.package_count = std::max(0, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE));
  return inventory;
}

std::string own_hostname() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace

Result<NodeInventory> read_cpus(const std::string& root) {
  const bool here = root == "/";
  MUSTER_TRY_ASSIGN(Topology topology, load_live(root, false));
  if (here && hwloc_get_nbobjs_by_type(topology.get(), HWLOC_OBJ_CORE) <= 0) {
    MUSTER_TRY_ASSIGN(topology, load_live(root, true));
  }
  CpuSet mask;
  if (here) {
    MUSTER_TRY_ASSIGN(mask, affinity_mask());
  } else {
    mask = list_in_status(root, "Cpus_allowed_list:")
               .value_or(to_cpu_set(hwloc_topology_get_topology_cpuset(topology.get())));
  }
  NodeInventory inventory = inventory_of(topology.get(), mask);
  apply_allowed_memory(list_in_status(root, "Mems_allowed_list:"), inventory);
  inventory.hostname = own_hostname();
  inventory.cpu_quota = cgroup_cpu_quota(root);
  inventory.source = "hwloc " MUSTER_HWLOC_VERSION ", live";
  return inventory;
}

Result<RecordedMachine> read_recorded_machine(const std::string& file) {
  MUSTER_TRY_ASSIGN(const Topology topology, load_recorded(file));
  const CpuSet all = to_cpu_set(hwloc_topology_get_topology_cpuset(topology.get()));
  RecordedMachine machine;
  machine.inventory = inventory_of(topology.get(), all);
  const char* name = hwloc_obj_get_info_by_name(hwloc_get_root_obj(topology.get()), "HostName");
  const std::filesystem::path path(file);
  const bool synthetic = file.starts_with(kSynthetic);
  machine.inventory.hostname = name != nullptr && !synthetic ? std::string(name)
                               : synthetic                   ? std::string("synthetic")
                                                             : path.stem().string();
  machine.inventory.source = synthetic ? file : path.filename().string();
  machine.devices = devices_of(topology.get());
  const char* exported =
      hwloc_obj_get_info_by_name(hwloc_get_root_obj(topology.get()), kDevicesFact);
  if (exported != nullptr) machine.exported_devices = exported;
  return machine;
}

Result<std::string> hwloc_xml(const std::string& file, const CpuSet& allowed,
                              const CpuSet& memory) {
  MUSTER_TRY_ASSIGN(const Topology topology,
                    file.empty() ? load_live("/", false) : load_recorded(file, false));
  using Bitmap = std::unique_ptr<std::remove_pointer_t<hwloc_bitmap_t>, void (*)(hwloc_bitmap_t)>;
  const auto to_bitmap = [](const CpuSet& set) {
    Bitmap bitmap(hwloc_bitmap_alloc(), hwloc_bitmap_free);
    for (const int index : set.to_vector()) {
      hwloc_bitmap_set(bitmap.get(), static_cast<unsigned>(index));
    }
    return bitmap;
  };
  const Bitmap cpus = to_bitmap(allowed);
  const Bitmap nodes = to_bitmap(memory);
  if (hwloc_topology_allow(topology.get(), cpus.get(), memory.empty() ? nullptr : nodes.get(),
                           HWLOC_ALLOW_FLAG_CUSTOM) != 0) {
    return Failure(
        system_error(ErrorCode::kInternal, "naming allowed CPUs " + allowed.to_string()));
  }
  char* text = nullptr;
  int length = 0;
  if (hwloc_topology_export_xmlbuffer(topology.get(), &text, &length, 0) != 0) {
    return Failure(system_error(ErrorCode::kInternal, "writing a topology as XML"));
  }
  std::string xml(text);
  hwloc_free_xmlbuffer(topology.get(), text);
  return xml;
}

}  // namespace muster::topology
