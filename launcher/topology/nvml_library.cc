#include "launcher/topology/nvml_library.h"

#include <dlfcn.h>
#include <utility>

namespace muster::topology::nvml {
namespace {

// The first of the names that the library has, newest first.
template <typename Function>
void find(void* library, Function& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* found = ::dlsym(library, name)) {
      function = reinterpret_cast<Function>(found);
      return;
    }
  }
}

Functions functions_of(void* library) {
  Functions all;
  find(library, all.init, {"nvmlInit_v2", "nvmlInit"});
  find(library, all.shutdown, {"nvmlShutdown"});
  find(library, all.error_string, {"nvmlErrorString"});
  find(library, all.driver_version, {"nvmlSystemGetDriverVersion"});
  find(library, all.device_count, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"});
  find(library, all.device_by_index,
       {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"});
  find(library, all.pci_info,
       {"nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo"});
  find(library, all.uuid, {"nvmlDeviceGetUUID"});
  find(library, all.name, {"nvmlDeviceGetName"});
  find(library, all.minor_number, {"nvmlDeviceGetMinorNumber"});
  find(library, all.memory, {"nvmlDeviceGetMemoryInfo"});
  find(library, all.memory_affinity, {"nvmlDeviceGetMemoryAffinity"});
  find(library, all.cpu_affinity, {"nvmlDeviceGetCpuAffinity"});
  find(library, all.mig_mode, {"nvmlDeviceGetMigMode"});
  find(library, all.mig_device_count, {"nvmlDeviceGetMaxMigDeviceCount"});
  find(library, all.mig_device_by_index, {"nvmlDeviceGetMigDeviceHandleByIndex"});
  find(library, all.gpu_instance, {"nvmlDeviceGetGpuInstanceId"});
  find(library, all.compute_instance, {"nvmlDeviceGetComputeInstanceId"});
  find(library, all.link_state, {"nvmlDeviceGetNvLinkState"});
  find(library, all.link_remote_pci,
       {"nvmlDeviceGetNvLinkRemotePciInfo_v2", "nvmlDeviceGetNvLinkRemotePciInfo"});
  find(library, all.link_remote_type, {"nvmlDeviceGetNvLinkRemoteDeviceType"});
  find(library, all.link_errors, {"nvmlDeviceGetNvLinkErrorCounter"});
  find(library, all.utilization, {"nvmlDeviceGetUtilizationRates"});
  find(library, all.power, {"nvmlDeviceGetPowerUsage"});
  find(library, all.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  find(library, all.temperature, {"nvmlDeviceGetTemperature"});
  find(library, all.clock, {"nvmlDeviceGetClockInfo"});
  find(library, all.ecc_errors, {"nvmlDeviceGetTotalEccErrors"});
  find(library, all.throttle_reasons,
       {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  find(library, all.pcie_replays, {"nvmlDeviceGetPcieReplayCounter"});
  find(library, all.processes_v2,
       {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"});
  find(library, all.processes_v1, {"nvmlDeviceGetComputeRunningProcesses"});
  return all;
}

}  // namespace

Result<Library> Library::load(const std::string& file) {
  Library library;
  library.handle_ = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library.handle_ == nullptr) {
    const char* why = ::dlerror();
    return fail(ErrorCode::kResources, why != nullptr ? why : "cannot load " + file);
  }
  library.functions_ = functions_of(library.handle_);
  const Functions& all = library.functions_;
  if (all.init == nullptr || all.shutdown == nullptr || all.device_count == nullptr ||
      all.device_by_index == nullptr || all.pci_info == nullptr) {
    return fail(ErrorCode::kResources, file + " lacks NVML's functions");
  }
  return library;
}

Library::Library(Library&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), functions_(other.functions_) {}

Library::~Library() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

Session::Session(const Functions& functions) : functions_(functions), status_(functions.init()) {}

Session::~Session() {
  if (status_ == kSuccess) functions_.shutdown();
}

std::string error_text(const Functions& functions, int status) {
  const char* text = functions.error_string != nullptr ? functions.error_string(status) : nullptr;
  return text != nullptr && *text != '\0' ? text : "error " + std::to_string(status);
}

std::string uuid_of(const Functions& functions, Device device) {
  std::array<char, 96> text{};
  if (functions.uuid == nullptr || functions.uuid(device, text.data(), text.size()) != kSuccess) {
    return "";
  }
  text.back() = '\0';
  return text.data();
}

}  // namespace muster::topology::nvml
