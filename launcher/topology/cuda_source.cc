#include "launcher/topology/cuda_source.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

#include "launcher/topology/pci_device.h"

namespace muster::topology {
namespace {

constexpr int kSuccess = 0;
constexpr int kNoDevice = 100;

struct Uuid {
  std::array<unsigned char, 16> bytes;
};

// By what CUDA's driver ABI says; the library is not unloaded, as it leaves threads behind, and the
// process ends soon.
struct Functions {
  int (*init)(unsigned flags) = nullptr;
  int (*count)(int*) = nullptr;
  int (*device)(int*, int ordinal) = nullptr;
  int (*bus_id)(char*, int length, int device) = nullptr;
  int (*name)(char*, int length, int device) = nullptr;
  int (*uuid)(Uuid*, int device) = nullptr;           // of the GPU
  int (*instance_uuid)(Uuid*, int device) = nullptr;  // of the instance, where it is partitioned
  int (*memory)(std::size_t*, int device) = nullptr;
  int (*error_string)(int, const char**) = nullptr;
};

template <typename Function>
void find(void* library, Function& function, const char* name) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
}

std::string text_of(std::string text, const Uuid& uuid) {
  for (std::size_t at = 0; at < uuid.bytes.size(); ++at) {
    if (at == 4 || at == 6 || at == 8 || at == 10) text += '-';
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", uuid.bytes[at]);
    text += digits.data();
  }
  return text;
}

std::string error_text(const Functions& cuda, int status) {
  const char* text = nullptr;
  if (cuda.error_string != nullptr && cuda.error_string(status, &text) == kSuccess &&
      text != nullptr) {
    return text;
  }
  return "error " + std::to_string(status);
}

GpuAnswer without(GpuAnswer::Outcome outcome, int status, std::string error) {
  GpuAnswer answer;
  answer.outcome = outcome;
  answer.status = status;
  answer.error = std::move(error);
  return answer;
}

Gpu gpu_of(const Functions& cuda, int ordinal, int device) {
  Gpu gpu;
  gpu.vendor = kNvidiaVendor;
  gpu.physical_index = ordinal;
  std::array<char, 256> text{};
  if (cuda.bus_id(text.data(), text.size() - 1, device) == kSuccess) {
    gpu.bus_id = canonical_bus_id(text.data());
  }
  text = {};
  if (cuda.name != nullptr && cuda.name(text.data(), text.size() - 1, device) == kSuccess) {
    gpu.model = text.data();
  }
  Uuid uuid{};
  if (cuda.uuid != nullptr && cuda.uuid(&uuid, device) == kSuccess) {
    gpu.uuid = text_of("GPU-", uuid);
    Uuid instance{};
    if (cuda.instance_uuid != nullptr && cuda.instance_uuid(&instance, device) == kSuccess &&
        instance.bytes != uuid.bytes) {
      gpu.parent_uuid = gpu.uuid;
      gpu.uuid = text_of("MIG-", instance);
    }
  }
  std::size_t bytes = 0;
  if (cuda.memory != nullptr && cuda.memory(&bytes, device) == kSuccess) gpu.memory_bytes = bytes;
  return gpu;
}

}  // namespace

GpuAnswer ask_cuda(const std::string& library_file) {
  ::setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  void* library = ::dlopen(library_file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return without(GpuAnswer::Outcome::kNoLibrary, 0,
                   why != nullptr ? why : "cannot load " + library_file);
  }
  Functions cuda;
  find(library, cuda.init, "cuInit");
  find(library, cuda.count, "cuDeviceGetCount");
  find(library, cuda.device, "cuDeviceGet");
  find(library, cuda.bus_id, "cuDeviceGetPCIBusId");
  find(library, cuda.name, "cuDeviceGetName");
  find(library, cuda.uuid, "cuDeviceGetUuid");
  find(library, cuda.instance_uuid, "cuDeviceGetUuid_v2");
  find(library, cuda.memory, "cuDeviceTotalMem_v2");
  find(library, cuda.error_string, "cuGetErrorString");
  if (cuda.init == nullptr || cuda.count == nullptr || cuda.device == nullptr ||
      cuda.bus_id == nullptr) {
    return without(GpuAnswer::Outcome::kNoLibrary, 0, library_file + " lacks CUDA's functions");
  }
  const int status = cuda.init(0);
  if (status == kNoDevice) return {};
  int count = 0;
  if (status != kSuccess || cuda.count(&count) != kSuccess) {
    return without(GpuAnswer::Outcome::kFailed, status, error_text(cuda, status));
  }
  GpuAnswer answer;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    int device = 0;
    if (cuda.device(&device, ordinal) != kSuccess) continue;
    answer.gpus.push_back(gpu_of(cuda, ordinal, device));
  }
  return answer;
}

}  // namespace muster::topology
