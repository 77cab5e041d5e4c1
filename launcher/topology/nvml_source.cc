// One pass over NVML's devices.  What a GPU does not tell stays unknown; a GPU that has fallen off
// the bus is left out with a note, since a rank that gets it fails at its first CUDA call.
#include "launcher/topology/nvml_source.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>

#include "base/files.h"
#include "launcher/topology/numa_check.h"
#include "launcher/topology/nvml_library.h"

namespace muster::topology {
namespace {

using nvml::Device;
using nvml::Functions;
using NodeCpus = std::map<int, CpuSet>;

constexpr unsigned kMostDevices = 1024;
constexpr unsigned kMostInstances = 64;
constexpr unsigned kMostLinks = 64;  // NVLink 4 has 18
constexpr unsigned kMostProcesses = 4096;

std::string bus_id_of(const nvml::PciInfo& pci) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.0", pci.domain, pci.bus & 0xffU,
                pci.device & 0x1fU);
  return text.data();
}

std::string name_of(const Functions& nvml, Device device) {
  std::array<char, 96> text{};
  if (nvml.name == nullptr || nvml.name(device, text.data(), text.size()) != nvml::kSuccess) {
    return "";
  }
  text.back() = '\0';
  return text.data();
}

std::uint64_t memory_of(const Functions& nvml, Device device) {
  nvml::Memory memory{};
  if (nvml.memory == nullptr || nvml.memory(device, &memory) != nvml::kSuccess) return 0;
  return memory.total;
}

int number(int (*function)(Device, unsigned*), Device device) {
  unsigned value = 0;
  if (function == nullptr || function(device, &value) != nvml::kSuccess) return kUnknown;
  return static_cast<int>(value);
}

// Calls `ask(count, entries)` with room for more until all fit; empty when it cannot be told.
template <typename Process>
std::vector<Process> all_processes(int (*ask)(Device, unsigned*, Process*), Device device) {
  std::vector<Process> processes(64);
  while (true) {
    auto count = static_cast<unsigned>(processes.size());
    const int status = ask(device, &count, processes.data());
    if (status == nvml::kInsufficientSize && processes.size() < kMostProcesses) {
      processes.resize(std::min<std::size_t>(std::max<std::size_t>(count, processes.size()) * 2,
                                             kMostProcesses));
      continue;
    }
    processes.resize(status == nvml::kSuccess ? std::min<std::size_t>(count, processes.size()) : 0);
    return processes;
  }
}

std::string process_name(unsigned pid) {
  auto name = read_file("/proc/" + std::to_string(pid) + "/comm", 4096);
  if (!name) return "";
  return name->substr(0, name->find('\n'));
}

template <typename Process>
std::vector<GpuProcess> named(const std::vector<Process>& told) {
  std::vector<GpuProcess> processes;
  for (const Process& process : told) {
    const bool memory_told = process.memory != ~0ULL;
    processes.push_back({static_cast<int>(process.pid), process_name(process.pid),
                         memory_told ? process.memory : 0});
  }
  return processes;
}

std::vector<GpuProcess> processes_of(const Functions& nvml, Device device) {
  if (nvml.processes_v2 != nullptr) return named(all_processes(nvml.processes_v2, device));
  if (nvml.processes_v1 != nullptr) return named(all_processes(nvml.processes_v1, device));
  return {};
}

std::vector<NvLink> links_of(const Functions& nvml, Device device) {
  std::vector<NvLink> links;
  if (nvml.link_state == nullptr || nvml.link_remote_pci == nullptr) return links;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    int active = 0;
    if (nvml.link_state(device, link, &active) != nvml::kSuccess) break;  // it has no more
    nvml::PciInfo remote{};
    if (active == 0 || nvml.link_remote_pci(device, link, &remote) != nvml::kSuccess) continue;
    int type = nvml::kLinkToGpu;
    if (nvml.link_remote_type != nullptr) nvml.link_remote_type(device, link, &type);
    const std::string bus_id = bus_id_of(remote);
    const auto known = std::find_if(links.begin(), links.end(),
                                    [&](const NvLink& each) { return each.bus_id == bus_id; });
    if (known != links.end()) {
      ++known->count;
    } else {
      links.push_back({bus_id, 1, type == nvml::kLinkToSwitch});
    }
  }
  return links;
}

bool is_partitioned(const Functions& nvml, Device device) {
  unsigned current = 0;
  unsigned pending = 0;
  return nvml.mig_mode != nullptr && nvml.mig_device_by_index != nullptr &&
         nvml.mig_mode(device, &current, &pending) == nvml::kSuccess && current == 1;
}

std::vector<Device> instance_handles(const Functions& nvml, Device device) {
  unsigned most = kMostInstances;
  if (nvml.mig_device_count != nullptr) nvml.mig_device_count(device, &most);
  std::vector<Device> handles;
  for (unsigned at = 0; at < std::min(most, kMostInstances); ++at) {
    Device instance = nullptr;
    // Indexes of instances that were destroyed stay empty, so the next one may be there.
    if (nvml.mig_device_by_index(device, at, &instance) == nvml::kSuccess) {
      handles.push_back(instance);
    }
  }
  return handles;
}

std::vector<Gpu> instances_of(const Functions& nvml, Device device, const Gpu& parent) {
  std::vector<Gpu> instances;
  for (const Device handle : instance_handles(nvml, device)) {
    Gpu instance = parent;
    instance.parent_uuid = parent.uuid;
    instance.uuid = nvml::uuid_of(nvml, handle);
    instance.gpu_instance = number(nvml.gpu_instance, handle);
    instance.compute_instance = number(nvml.compute_instance, handle);
    instance.memory_bytes = memory_of(nvml, handle);
    instance.processes = processes_of(nvml, handle);
    instance.nvlinks.clear();  // instances do not speak to each other
    const std::string name = name_of(nvml, handle);
    instance.model = name.empty() || name == parent.model ? parent.model + " MIG" : name;
    instances.push_back(std::move(instance));
  }
  return instances;
}

// By its address, since the GPUs after it move up by one in every list of ours.
void leave_out(unsigned index, const std::string& bus_id, const std::string& why, std::string hint,
               GpuAnswer& answer) {
  const std::string number = "number " + std::to_string(index);
  const std::string name = bus_id.empty()
                               ? "the driver's GPU " + number + " (its address is unknown)"
                               : "GPU " + bus_id + " (the driver's " + number + ")";
  answer.left_out.push_back(static_cast<int>(index));
  answer.notes.push_back({Note::Kind::kWarning, "GPUs",
                          name + " is left out: " + why +
                              "; numbers in CUDA_VISIBLE_DEVICES are the driver's and count it",
                          std::move(hint)});
}

void leave_broken_out(const Functions& nvml, unsigned index, const std::string& bus_id, int status,
                      GpuAnswer& answer) {
  const char* hint =
      status == nvml::kNoPermission
          ? "see who may open it: ls -l /dev/nvidia*"
          : "the kernel log says why (dmesg | grep Xid); such a GPU needs a reset or a repair";
  leave_out(index, bus_id, "NVML says \"" + nvml::error_text(nvml, status) + "\"", hint, answer);
}

using Words = std::array<unsigned long, 128>;  // 8192 CPUs

std::vector<int> bits_of(const Words& words) {
  constexpr std::size_t kBits = sizeof(unsigned long) * 8;
  std::vector<int> bits;
  for (std::size_t bit = 0; bit < words.size() * kBits; ++bit) {
    if ((words[bit / kBits] >> bit % kBits & 1UL) != 0) bits.push_back(static_cast<int>(bit));
  }
  return bits;
}

// The NUMA node by the memory that is near it, else by the CPUs; not when they are several, as in
// virtual machines where all are called near.  nvmlDeviceGetNumaNodeId is not asked: it tells where
// a GPU's own memory is (Grace), which has no CPUs.
int numa_node_of(const Functions& nvml, Device device, const NodeCpus& nodes) {
  Words words{};
  const auto room = static_cast<unsigned>(words.size());
  if (nvml.memory_affinity != nullptr &&
      nvml.memory_affinity(device, room, words.data(), nvml::kAffinityOfNode) == nvml::kSuccess) {
    const std::vector<int> near = bits_of(words);
    if (near.size() == 1) return near.front();
  }
  words = {};
  if (nvml.cpu_affinity == nullptr ||
      nvml.cpu_affinity(device, room, words.data()) != nvml::kSuccess) {
    return kUnknown;
  }
  int node = kUnknown;
  for (const int cpu : bits_of(words)) {
    const auto its = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const auto& each) { return each.second.contains(cpu); });
    if (its == nodes.end()) continue;
    if (node != kUnknown && node != its->first) return kUnknown;
    node = its->first;
  }
  return node;
}

void read_gpu(const Functions& nvml, unsigned index, const NodeCpus& nodes, GpuAnswer& answer) {
  Device device = nullptr;
  nvml::PciInfo pci{};
  if (const int status = nvml.device_by_index(index, &device); status != nvml::kSuccess) {
    leave_broken_out(nvml, index, "", status, answer);
    return;
  }
  if (const int status = nvml.pci_info(device, &pci); status != nvml::kSuccess) {
    leave_broken_out(nvml, index, "", status, answer);
    return;
  }
  Gpu gpu;
  gpu.vendor = kNvidiaVendor;
  gpu.bus_id = bus_id_of(pci);
  gpu.physical_index = static_cast<int>(index);
  // A lost GPU still has a handle and an address; the first question to itself fails.
  std::array<char, 96> uuid{};
  if (nvml.uuid != nullptr) {
    const int status = nvml.uuid(device, uuid.data(), uuid.size());
    if (status != nvml::kSuccess && status != nvml::kNotSupported) {
      leave_broken_out(nvml, index, gpu.bus_id, status, answer);
      return;
    }
    uuid.back() = '\0';
    gpu.uuid = uuid.data();
  }
  gpu.model = name_of(nvml, device);
  gpu.numa_node = numa_node_of(nvml, device, nodes);
  if (gpu.numa_node != kUnknown) gpu.locality_source = LocalitySource::kNvml;
  if (is_partitioned(nvml, device)) {
    std::vector<Gpu> instances = instances_of(nvml, device, gpu);
    if (instances.empty()) {
      leave_out(
          index, gpu.bus_id, "it is in MIG mode and has no instance that a process could use",
          "make instances with `nvidia-smi mig -cgi … -C`, or end the mode with `nvidia-smi -i " +
              std::to_string(index) + " -mig 0`",
          answer);
    }
    std::move(instances.begin(), instances.end(), std::back_inserter(answer.gpus));
    return;
  }
  gpu.memory_bytes = memory_of(nvml, device);
  gpu.nvlinks = links_of(nvml, device);
  gpu.processes = processes_of(nvml, device);
  answer.gpus.push_back(std::move(gpu));
}

GpuAnswer failed(const Functions& nvml, int status) {
  GpuAnswer answer;
  answer.outcome = GpuAnswer::Outcome::kFailed;
  answer.status = status;
  answer.error = nvml::error_text(nvml, status);
  return answer;
}

}  // namespace

GpuAnswer ask_nvml(const std::string& library_file, const std::string& root) {
  const auto library = nvml::Library::load(library_file);
  if (!library) {
    GpuAnswer answer;
    answer.outcome = GpuAnswer::Outcome::kNoLibrary;
    answer.error = library.error().message;
    return answer;
  }
  const Functions& nvml = library->functions();
  const nvml::Session session(nvml);
  if (session.status() != nvml::kSuccess) return failed(nvml, session.status());
  unsigned count = 0;
  if (const int status = nvml.device_count(&count); status != nvml::kSuccess) {
    return failed(nvml, status);
  }
  GpuAnswer answer;
  std::array<char, 96> version{};
  if (nvml.driver_version != nullptr &&
      nvml.driver_version(version.data(), version.size() - 1) == nvml::kSuccess) {
    answer.version = version.data();
  }
  const NodeCpus nodes = numa_cpus_of_kernel(root);
  for (unsigned index = 0; index < std::min(count, kMostDevices); ++index) {
    read_gpu(nvml, index, nodes, answer);
  }
  return answer;
}

GpuUsers ask_nvml_for_users(const std::string& library_file) {
  GpuUsers users;
  const auto library = nvml::Library::load(library_file);
  if (!library) return users;
  const Functions& nvml = library->functions();
  const nvml::Session session(nvml);
  unsigned count = 0;
  if (session.status() != nvml::kSuccess || nvml.device_count(&count) != nvml::kSuccess) {
    return users;
  }
  const auto add = [&](Device device) {
    for (const GpuProcess& process : processes_of(nvml, device)) {
      users[nvml::uuid_of(nvml, device)].push_back(process.pid);
    }
  };
  for (unsigned index = 0; index < std::min(count, kMostDevices); ++index) {
    Device device = nullptr;
    if (nvml.device_by_index(index, &device) != nvml::kSuccess) continue;
    if (!is_partitioned(nvml, device)) {
      add(device);
      continue;
    }
    for (const Device instance : instance_handles(nvml, device)) add(instance);
  }
  return users;
}

}  // namespace muster::topology
