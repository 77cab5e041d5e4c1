// NVML's functions, as a table of pointers that dlopen filled: the same program runs on a node
// without a driver.  The few types are declared here by what NVML's ABI says of them; a library
// without one of the newer functions has a null pointer there.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "muster/result.h"

namespace muster::topology::nvml {

enum Return : int {
  kSuccess = 0,
  kNotSupported = 3,
  kNoPermission = 4,
  kNotFound = 6,
  kInsufficientSize = 7,
  kDriverNotLoaded = 9,
  kLibraryNotFound = 12,
  kGpuIsLost = 15,
  kVersionMismatch = 18,
};

struct DeviceTag;
using Device = DeviceTag*;

// nvmlPciInfo_t; the older calls fill a shorter one that begins alike.
struct PciInfo {
  std::array<char, 16> legacy_bus_id;  // with a domain of four digits, cut off if it has more
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned pci_device_id;  // device in the upper half, vendor in the lower
  unsigned pci_subsystem_id;
  std::array<char, 32> bus_id;
};

struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct Utilization {  // percent of the time of the last sampling period
  unsigned gpu;
  unsigned memory;  // its controller
};

struct ProcessV1 {
  unsigned pid;
  unsigned long long memory;  // all ones: not told
};

struct ProcessV2 {  // of the calls _v2 and _v3
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance;
  unsigned compute_instance;
};

enum AffinityScope : unsigned { kAffinityOfNode = 0, kAffinityOfSocket = 1 };

enum ClockType : int { kClockSm = 1, kClockMemory = 2 };
enum EccError : int { kEccCorrected = 0, kEccUncorrected = 1 };
enum EccCounter : int { kEccSinceDriverStart = 0 };
constexpr int kTemperatureOfGpu = 0;
constexpr int kLinkErrorKinds = 4;  // replays, recoveries, CRC errors of headers and of data

enum LinkEnd : int { kLinkToGpu = 0, kLinkToSwitch = 2 };

struct Functions {
  // Without these there is nothing to ask.
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*device_count)(unsigned*) = nullptr;
  int (*device_by_index)(unsigned, Device*) = nullptr;
  int (*pci_info)(Device, PciInfo*) = nullptr;

  const char* (*error_string)(int) = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*minor_number)(Device, unsigned*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  // Sets of NUMA nodes and of CPUs as words of bits; `size` counts words.
  int (*memory_affinity)(Device, unsigned size, unsigned long*, unsigned scope) = nullptr;
  int (*cpu_affinity)(Device, unsigned size, unsigned long*) = nullptr;
  int (*mig_mode)(Device, unsigned* current, unsigned* pending) = nullptr;
  int (*mig_device_count)(Device, unsigned*) = nullptr;
  int (*mig_device_by_index)(Device, unsigned, Device*) = nullptr;
  int (*gpu_instance)(Device, unsigned*) = nullptr;
  int (*compute_instance)(Device, unsigned*) = nullptr;
  int (*link_state)(Device, unsigned link, int* active) = nullptr;
  int (*link_remote_pci)(Device, unsigned link, PciInfo*) = nullptr;
  int (*link_remote_type)(Device, unsigned link, int* type) = nullptr;
  int (*link_errors)(Device, unsigned link, int kind, unsigned long long*) = nullptr;
  // How it fares.
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*power)(Device, unsigned* milliwatts) = nullptr;
  int (*power_limit)(Device, unsigned* milliwatts) = nullptr;
  int (*temperature)(Device, int sensor, unsigned* celsius) = nullptr;
  int (*clock)(Device, int type, unsigned* megahertz) = nullptr;
  int (*ecc_errors)(Device, int error, int counter, unsigned long long*) = nullptr;
  int (*throttle_reasons)(Device, unsigned long long*) = nullptr;
  int (*pcie_replays)(Device, unsigned*) = nullptr;
  int (*processes_v2)(Device, unsigned* count, ProcessV2*) = nullptr;
  int (*processes_v1)(Device, unsigned* count, ProcessV1*) = nullptr;
};

// A loaded library; unloaded by the destructor.  Not initialized: see Session.
class Library {
 public:
  // An error when it cannot be loaded or is no NVML.
  static Result<Library> load(const std::string& file);

  Library(Library&& other) noexcept;
  Library& operator=(Library&&) = delete;
  ~Library();

  const Functions& functions() const { return functions_; }

 private:
  Library() = default;

  void* handle_ = nullptr;
  Functions functions_;
};

// Between nvmlInit and nvmlShutdown.
class Session {
 public:
  explicit Session(const Functions& functions);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  int status() const { return status_; }

 private:
  const Functions& functions_;
  int status_;
};

// "GPU is lost", in the library's words; "error 15" where it has none.
std::string error_text(const Functions& functions, int status);

// "GPU-…", "MIG-…"; "" when it does not say.
std::string uuid_of(const Functions& functions, Device device);

}  // namespace muster::topology::nvml
