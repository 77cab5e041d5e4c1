#include "launcher/topology/gpu_search.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/topology/cuda_source.h"
#include "launcher/topology/forked_answer.h"
#include "launcher/topology/gpu_answer.h"
#include "launcher/topology/kfd.h"
#include "launcher/topology/nvidia_driver.h"
#include "launcher/topology/nvml_library.h"
#include "launcher/topology/nvml_source.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

using Outcome = GpuAnswer::Outcome;

constexpr const char* kSubject = "GPUs";
constexpr const char* kTimeoutVariable = "MUSTER_GPU_TIMEOUT";

Note info(std::string text, std::string hint = "") {
  return {Note::Kind::kInfo, kSubject, std::move(text), std::move(hint)};
}

Note warning(std::string text, std::string hint = "") {
  return {Note::Kind::kWarning, kSubject, std::move(text), std::move(hint)};
}

std::string value_of(const GpuSearch& search, const char* name) {
  const auto found = search.environment.find(name);
  return found == search.environment.end() ? "" : found->second;
}

std::chrono::milliseconds patience_of(const GpuSearch& search) {
  const auto seconds = parse_integer(value_of(search, kTimeoutVariable));
  if (!seconds || *seconds < 1 || *seconds > 3600) return search.patience;
  return std::chrono::seconds(*seconds);
}

std::vector<PciDevice> gpus_on_the_bus(const GpuSearch& search, int vendor) {
  std::vector<PciDevice> found;
  for (const PciDevice& device : search.pci) {
    if (device.vendor == vendor && is_gpu(device)) found.push_back(device);
  }
  return found;
}

std::string bus_ids(const std::vector<PciDevice>& devices) {
  std::vector<std::string> ids;
  for (const PciDevice& device : devices) ids.push_back(device.bus_id);
  return join(ids, ", ");
}

GpuAnswer ask_in_a_child(const std::function<GpuAnswer()>& question,
                         std::chrono::milliseconds patience) {
  GpuAnswer answer;
  answer.outcome = Outcome::kFailed;
  auto asked = ForkedAnswer::ask([&] { return to_text(question()); }, patience);
  if (!asked) {
    answer.error = asked.error().message;
    return answer;
  }
  const ForkedAnswer::State state = asked->wait();
  if (state == ForkedAnswer::State::kTooLate) {
    answer.outcome = Outcome::kTooLate;
    answer.error = "no answer in " + format_duration(patience);
    return answer;
  }
  if (state == ForkedAnswer::State::kAnswered) {
    if (auto told = gpu_answer_of(asked->text())) return *told;
  }
  answer.error = "the process that asked it " +
                 (state == ForkedAnswer::State::kDied ? asked->text() : "answered nonsense");
  return answer;
}

// The library that a variable names; the driver's own where we look at the machine that we run on.
std::string library_of(const GpuSearch& search, const char* variable, const char* usual) {
  std::string named = value_of(search, variable);
  if (named.empty() && search.root == "/") return usual;
  return named;
}

bool may_have_nvidia(const GpuSearch& search) {
  return !value_of(search, kNvmlVariable).empty() || !value_of(search, kCudaVariable).empty() ||
         has_nvidia_driver(search.root) || !gpus_on_the_bus(search, kNvidiaVendor).empty();
}

std::string module_is_not_loaded(const GpuSearch& search) {
  return nvidia_module_version(search.root).empty()
             ? "load the driver's kernel module: modprobe nvidia"
             : "the kernel module is loaded, its device nodes are not here: a container is given "
               "them at its start (--gpus all), and on a host nvidia-modprobe makes them";
}

// Why NVML is silent though there is a library, and what to do.
Note nvml_failed(const GpuSearch& search, const GpuAnswer& answer) {
  std::string text = "NVML says \"" + answer.error + "\"";
  switch (answer.status) {
    case nvml::kDriverNotLoaded: return warning(text, module_is_not_loaded(search));
    case nvml::kNoPermission: return warning(text, "see who may open it: ls -l /dev/nvidia*");
    case nvml::kVersionMismatch: {
      const std::string version = nvidia_module_version(search.root);
      return warning(
          text + (version.empty() ? "" : " (the kernel module's version is " + version + ")"),
          "after an update of the driver load its new module or reboot; in a container the "
          "library must be the host's, not one of the image");
    }
    default: break;
  }
  return warning(std::move(text), "see whether nvidia-smi works here");
}

// The library is not here.  Who has a driver nevertheless is most often in a container.
Note nvml_missing(const GpuAnswer& answer) {
  return warning("NVML's library cannot be used (" + without_controls(answer.error) +
                     "): partitions (MIG), NVLink and who uses a GPU are unknown",
                 "in a container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,utility, of "
                 "which `utility` brings the library; on a host, install the driver's libraries");
}

// Those on the bus that the driver does not show; a container's sysfs has all of the host's.
void note_unlisted(const GpuSearch& search, GpuFindings& findings) {
  std::vector<PciDevice> unlisted = gpus_on_the_bus(search, kNvidiaVendor);
  std::erase_if(unlisted, [&](const PciDevice& device) {
    return std::any_of(findings.gpus.begin(), findings.gpus.end(),
                       [&](const Gpu& gpu) { return gpu.bus_id == device.bus_id; });
  });
  if (unlisted.empty()) return;
  findings.notes.push_back(
      info(fmt::format("{} more of NVIDIA on the PCI bus: {}; the driver does not show {} to us",
                       counted(static_cast<std::int64_t>(unlisted.size()), "GPU"),
                       bus_ids(unlisted), unlisted.size() == 1 ? "it" : "them"),
           "given to another container or virtual machine, without a driver, or broken"));
}

void take(GpuFindings& findings, GpuAnswer answer, std::string source) {
  findings.gpus = std::move(answer.gpus);
  findings.left_out = std::move(answer.left_out);
  findings.notes.insert(findings.notes.end(), answer.notes.begin(), answer.notes.end());
  findings.source = std::move(source);
  if (!answer.version.empty()) findings.source += " " + answer.version;
}

// Whether libcuda or /proc may know what NVML could not tell.
bool others_may_know(const GpuAnswer& nvml) {
  return nvml.outcome == Outcome::kNoLibrary ||
         (nvml.outcome == Outcome::kFailed && nvml.status != nvml::kDriverNotLoaded);
}

void find_by_proc(const GpuSearch& search, GpuFindings& findings) {
  GpuAnswer answer = read_nvidia_proc(search.root);
  const bool any = !answer.gpus.empty();
  take(findings, std::move(answer), any ? "/proc/driver/nvidia" : "none");
}

void find_by_cuda(const GpuSearch& search, GpuFindings& findings) {
  const std::string library = library_of(search, kCudaVariable, kCudaLibrary);
  if (library.empty()) return find_by_proc(search, findings);
  GpuAnswer answer = ask_in_a_child([&] { return ask_cuda(library); }, patience_of(search));
  if (answer.outcome == Outcome::kFound) {
    answer.version = nvidia_module_version(search.root);
    return take(findings, std::move(answer), "CUDA");
  }
  if (answer.outcome == Outcome::kNoLibrary) {
    findings.notes.push_back(
        warning("CUDA's library cannot be used (" + without_controls(answer.error) + ")",
                "install the driver's libraries; a container is given them at its start, by "
                "NVIDIA_DRIVER_CAPABILITIES with `compute` in it"));
  } else {
    findings.notes.push_back(warning("CUDA says \"" + without_controls(answer.error) + "\"",
                                     "see whether nvidia-smi works here"));
  }
  find_by_proc(search, findings);
}

void find_nvidia(const GpuSearch& search, GpuFindings& findings) {
  const std::string library = library_of(search, kNvmlVariable, kNvmlLibrary);
  if (!has_nvidia_driver(search.root) && value_of(search, kNvmlVariable).empty() &&
      value_of(search, kCudaVariable).empty()) {
    // A GPU on the bus and no trace of the driver: nothing to ask, and no rank could use it.
    const auto found = gpus_on_the_bus(search, kNvidiaVendor);
    findings.source = "none";
    findings.notes.push_back(info(
        fmt::format("{} of NVIDIA on the PCI bus ({}), and no driver: neither /proc/driver/nvidia "
                    "nor /dev/nvidia* is here",
                    counted(static_cast<std::int64_t>(found.size()), "GPU"), bus_ids(found)),
        "on a host, install NVIDIA's driver; a container is given the GPUs at its start "
        "(--gpus all)"));
    return;
  }
  GpuAnswer nvml;
  if (library.empty()) {
    nvml.outcome = Outcome::kNoLibrary;
    nvml.error = "not looked for outside of this machine";
  } else {
    nvml = ask_in_a_child([&] { return ask_nvml(library, search.root); }, patience_of(search));
  }
  if (nvml.outcome == Outcome::kFound) {
    take(findings, std::move(nvml), "NVML");
    return note_unlisted(search, findings);
  }
  if (nvml.outcome == Outcome::kNoLibrary) {
    findings.notes.push_back(nvml_missing(nvml));
  } else if (nvml.outcome == Outcome::kTooLate) {
    findings.notes.push_back(
        warning("NVML gave " + nvml.error + ": the driver hangs, and so may whoever uses a GPU",
                "the kernel log says why (dmesg | grep -e NVRM -e Xid); MUSTER_GPU_TIMEOUT=SECONDS "
                "waits longer"));
  } else {
    findings.notes.push_back(nvml_failed(search, nvml));
  }
  findings.instances_known = false;
  if (others_may_know(nvml)) return find_by_cuda(search, findings);
  find_by_proc(search, findings);
}

// By what a process needs to use one: AMD's ROCm opens /dev/kfd, Intel's runtime a render node.
bool has_compute_node(const std::string& root, int vendor) {
  std::error_code error;
  if (vendor == kAmdVendor) return fs::exists(fs::path(root) / "dev/kfd", error);
  for (fs::directory_iterator at(fs::path(root) / "dev/dri", error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().filename().string().starts_with("renderD")) return true;
  }
  return false;
}

const PciDevice* device_of(const KfdNode& node, const std::vector<PciDevice>& devices) {
  const auto at = [&](const std::string& bus_id) -> const PciDevice* {
    const auto found = std::find_if(devices.begin(), devices.end(), [&](const PciDevice& device) {
      return device.bus_id == bus_id;
    });
    return found == devices.end() ? nullptr : &*found;
  };
  const PciDevice* exact = at(node.bus_id);
  return exact != nullptr ? exact : at(node.bus_id.substr(0, node.bus_id.rfind('.')) + ".0");
}

// In the order of ROCm's runtime where the kernel tells it, each partition as a GPU of its own;
// then those that it does not have, in the bus's order.
void take_from_the_bus(const GpuSearch& search, const std::vector<PciDevice>& devices,
                       const char* maker, GpuFindings& findings) {
  std::set<const PciDevice*> known;
  const auto add = [&](const PciDevice& device, const std::string& uuid) {
    Gpu gpu;
    gpu.uuid = uuid;
    gpu.vendor = device.vendor;
    gpu.bus_id = device.bus_id;
    gpu.model = fmt::format("{} GPU {:04x}:{:04x}", maker, device.vendor, device.device);
    gpu.physical_index = static_cast<int>(findings.gpus.size());
    findings.gpus.push_back(std::move(gpu));
    known.insert(&device);
  };
  for (const KfdNode& node : kfd_nodes(search.root)) {
    if (const PciDevice* device = device_of(node, devices)) add(*device, node.uuid);
  }
  for (const PciDevice& device : devices) {
    if (!known.contains(&device)) add(device, "");
  }
}

void find_on_the_bus(const GpuSearch& search, int vendor, const char* maker, const char* node,
                     GpuFindings& findings) {
  const std::vector<PciDevice> devices = gpus_on_the_bus(search, vendor);
  if (devices.empty()) return;
  const std::string count = counted(static_cast<std::int64_t>(devices.size()), "GPU");
  if (!findings.gpus.empty()) {
    findings.notes.push_back(info(fmt::format("{} of {} ({}) left out: a run uses one maker's GPUs",
                                              count, maker, bus_ids(devices))));
    return;
  }
  if (!has_compute_node(search.root, vendor)) {
    findings.notes.push_back(
        info(fmt::format("{} of {} on the PCI bus ({}) left out: {} is not here", count, maker,
                         bus_ids(devices), node)));
    return;
  }
  take_from_the_bus(search, devices, maker, findings);
  findings.source = fmt::format("PCI bus ({})", maker);
  const std::size_t partitions = findings.gpus.size();
  findings.notes.push_back(info(fmt::format(
      "{} of {} found on the PCI bus{}: memory and who uses them are unknown{}", count, maker,
      partitions > devices.size() ? fmt::format(", partitioned into {}", partitions) : "",
      findings.gpus.front().uuid.empty()
          ? ", and so are UUIDs and whether the bus's order is the runtime's own"
          : "")));
}

}  // namespace

GpuFindings find_gpus(const GpuSearch& search) {
  GpuFindings findings;
  findings.source = "none";
  if (may_have_nvidia(search)) find_nvidia(search, findings);
  find_on_the_bus(search, kAmdVendor, "AMD", "/dev/kfd", findings);
  find_on_the_bus(search, kIntelVendor, "Intel", "/dev/dri/renderD*", findings);
  for (std::size_t at = 0; at < findings.gpus.size(); ++at) {
    findings.gpus[at].visible_ordinal = static_cast<int>(at);
  }
  return findings;
}

}  // namespace muster::topology
