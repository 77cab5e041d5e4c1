// NVML by name only, with the devices of a script: the file FAKE_NVML_SCRIPT, read anew at
// nvmlInit. A line each; words may carry _ for a space.
//
//   driver 535.104.05                   what nvmlSystemGetDriverVersion says
//   init 9                              nvmlInit returns that
//   hang init | hang gpu 2              the call never comes back
//   gpu UUID BUS_ID NAME MEMORY MINOR   in order; BUS_ID as NVML writes it, 00000001:00:00.0
//   error 2 15                          every question to GPU 2 itself returns 15
//   no_handle 2 15                      nvmlDeviceGetHandleByIndex of GPU 2 returns 15
//   mig 0 UUID GI CI MEMORY             an instance of GPU 0, which thereby is in MIG mode
//   mig_on 0                            MIG mode without an instance
//   link 0 REMOTE_BUS_ID COUNT TYPE     NVLinks of GPU 0; TYPE 0 to a GPU, 2 to a switch
//   near_node 0 NODE                    of GPU 0 nvmlDeviceGetMemoryAffinity says; may be repeated
//   near_cpu 0 CPU                      the same of nvmlDeviceGetCpuAffinity
//   process 0 PID MEMORY                of GPU 0; of an instance by its UUID in place of 0
//   use 0 PERCENT MEMORY_USED WATTS CELSIUS  how GPU 0 fares; its power limit is 400 W
//   throttle 0 REASONS                  bits of why its clocks are low
//   ecc 0 CORRECTED UNCORRECTED         its errors since the driver's start
//   sick 0 SECONDS                      a question how it fares takes so long
//   log FILE                            "init" and "shutdown" are appended to it
//
// Built with FAKE_NVML_OLD it lacks all that NVML learnt after 2012.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

constexpr int kSuccess = 0;
constexpr int kUninitialized = 1;
constexpr int kInvalidArgument = 2;
constexpr int kNotSupported = 3;
constexpr int kNotFound = 6;
constexpr int kInsufficientSize = 7;

struct Process {
  unsigned pid;
  unsigned long long memory;
};

struct Link {
  std::string bus_id;
  int type;
};

struct FakeDevice {
  std::string uuid;
  std::string bus_id;
  std::string name;
  unsigned long long memory = 0;
  unsigned minor = 0;
  int error = kSuccess;
  int handle_error = kSuccess;
  bool hangs = false;
  bool tells_use = false;
  unsigned percent = 0;
  unsigned watts = 0;
  unsigned celsius = 0;
  unsigned long long memory_used = 0;
  unsigned long long throttle = 0;
  unsigned long long ecc[2] = {};
  unsigned slow_seconds = 0;
  bool mig = false;
  bool is_instance = false;
  unsigned gpu_instance = 0;
  unsigned compute_instance = 0;
  std::deque<FakeDevice> instances;
  std::vector<Link> links;
  std::vector<Process> processes;
  std::vector<unsigned> near_nodes;
  std::vector<unsigned> near_cpus;
};

struct Script {
  std::string driver = "535.104.05";
  std::string log;
  int init = kSuccess;
  bool init_hangs = false;
  std::deque<FakeDevice> gpus;
};

Script script;
bool initialized = false;

[[noreturn]] void hang() {
  while (true) ::pause();
}

std::string spaced(std::string word) {
  for (char& c : word) c = c == '_' ? ' ' : c;
  return word;
}

FakeDevice* device_named(const std::string& word) {
  for (FakeDevice& gpu : script.gpus) {
    if (gpu.uuid == word) return &gpu;
    for (FakeDevice& instance : gpu.instances) {
      if (instance.uuid == word) return &instance;
    }
  }
  const auto index = static_cast<std::size_t>(std::atoi(word.c_str()));
  if (index < script.gpus.size()) return &script.gpus[index];
  std::fprintf(stderr, "fake_nvml: no GPU %s\n", word.c_str());
  std::abort();
}

void read_line(const std::string& line) {
  std::istringstream words(line);
  std::string what;
  if (!(words >> what) || what[0] == '#') return;
  if (what == "driver") {
    words >> script.driver;
  } else if (what == "init") {
    words >> script.init;
  } else if (what == "log") {
    words >> script.log;
  } else if (what == "gpu") {
    FakeDevice gpu;
    words >> gpu.uuid >> gpu.bus_id >> gpu.name >> gpu.memory >> gpu.minor;
    gpu.name = spaced(gpu.name);
    script.gpus.push_back(gpu);
  } else {
    std::string device;
    words >> device;
    if (what == "hang" && device == "init") {
      script.init_hangs = true;
    } else if (what == "hang") {
      words >> device;
      device_named(device)->hangs = true;
    } else if (what == "error") {
      words >> device_named(device)->error;
    } else if (what == "no_handle") {
      words >> device_named(device)->handle_error;
    } else if (what == "mig_on") {
      device_named(device)->mig = true;
    } else if (what == "mig") {
      FakeDevice& parent = *device_named(device);
      FakeDevice instance;
      words >> instance.uuid >> instance.gpu_instance >> instance.compute_instance >>
          instance.memory;
      instance.is_instance = true;
      instance.name = parent.name + " MIG 1g.5gb";
      instance.bus_id = parent.bus_id;
      parent.mig = true;
      parent.instances.push_back(instance);
    } else if (what == "link") {
      Link link;
      int count = 0;
      words >> link.bus_id >> count >> link.type;
      for (int at = 0; at < count; ++at) device_named(device)->links.push_back(link);
    } else if (what == "near_node" || what == "near_cpu") {
      unsigned number = 0;
      words >> number;
      FakeDevice& gpu = *device_named(device);
      (what == "near_node" ? gpu.near_nodes : gpu.near_cpus).push_back(number);
    } else if (what == "use") {
      FakeDevice& gpu = *device_named(device);
      gpu.tells_use = true;
      words >> gpu.percent >> gpu.memory_used >> gpu.watts >> gpu.celsius;
    } else if (what == "throttle") {
      words >> device_named(device)->throttle;
    } else if (what == "ecc") {
      FakeDevice& gpu = *device_named(device);
      words >> gpu.ecc[0] >> gpu.ecc[1];
    } else if (what == "sick") {
      words >> device_named(device)->slow_seconds;
    } else if (what == "process") {
      Process process{};
      words >> process.pid >> process.memory;
      device_named(device)->processes.push_back(process);
    } else {
      std::fprintf(stderr, "fake_nvml: what is \"%s\"?\n", line.c_str());
      std::abort();
    }
  }
}

void note(const char* what) {
  if (!script.log.empty()) std::ofstream(script.log, std::ios::app) << what << "\n";
}

FakeDevice* fake(void* device) {
  auto* const found = static_cast<FakeDevice*>(device);
  if (found->hangs) hang();
  return found;
}

int put(const std::string& text, char* buffer, unsigned length) {
  if (length <= text.size()) return kInsufficientSize;
  std::memcpy(buffer, text.c_str(), text.size() + 1);
  return kSuccess;
}

// The layout that all versions share: a bus id of 16 bytes, five numbers, and then 32 bytes more in
// version 3, 16 reserved ones in the older.
void put_pci(const std::string& bus_id, unsigned char* info, bool version_3) {
  unsigned numbers[5] = {0, 0, 0, 0x20b010deU, 0};
  std::sscanf(bus_id.c_str(), "%x:%x:%x", &numbers[0], &numbers[1], &numbers[2]);
  char legacy[16];
  std::snprintf(legacy, sizeof legacy, "%04X:%02X:%02X.0", numbers[0] & 0xffffU, numbers[1] & 0xffU,
                numbers[2] & 0xffU);
  std::memcpy(info, legacy, sizeof legacy);
  std::memcpy(info + 16, numbers, sizeof numbers);
  if (version_3) {
    std::memset(info + 36, 0, 32);
    std::memcpy(info + 36, bus_id.c_str(), bus_id.size() < 31 ? bus_id.size() : 31);
  } else {
    std::memset(info + 36, 0, 16);
  }
}

int init() {
  script = Script();
  const char* file = std::getenv("FAKE_NVML_SCRIPT");
  std::ifstream lines(file != nullptr ? file : "");
  for (std::string line; std::getline(lines, line);) read_line(line);
  note("init");
  if (script.init_hangs) hang();
  initialized = script.init == kSuccess;
  return script.init;
}

template <typename Entry>
int put_processes(void* device, unsigned* count, Entry* entries) {
  const FakeDevice* const found = fake(device);
  if (found->error != kSuccess) return found->error;
  const auto needed = static_cast<unsigned>(found->processes.size());
  const unsigned room = *count;
  *count = needed;
  if (needed > room) return kInsufficientSize;
  for (unsigned at = 0; at < needed; ++at) {
    entries[at] = {};
    entries[at].pid = found->processes[at].pid;
    entries[at].memory = found->processes[at].memory;
  }
  return kSuccess;
}

[[maybe_unused]] int put_bits(const std::vector<unsigned>& bits, unsigned size,
                              unsigned long* words) {
  if (bits.empty()) return kNotSupported;
  std::memset(words, 0, size * sizeof *words);
  for (const unsigned bit : bits) {
    if (bit / 64 >= size) return kInsufficientSize;
    words[bit / 64] |= 1UL << bit % 64;
  }
  return kSuccess;
}

struct Memory {
  unsigned long long total, free, used;
};

struct ProcessV1 {
  unsigned pid;
  unsigned long long memory;
};

struct ProcessV2 {
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance, compute_instance;
};

}  // namespace

extern "C" {

const char* nvmlErrorString(int status) {
  switch (status) {
    case kSuccess: return "Success";
    case 3: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
  }
}

int nvmlInit() {
  return init();
}

int nvmlShutdown() {
  if (!initialized) return kUninitialized;
  note("shutdown");
  initialized = false;
  return kSuccess;
}

int nvmlSystemGetDriverVersion(char* text, unsigned length) {
  return put(script.driver, text, length);
}

int nvmlDeviceGetCount(unsigned* count) {
  if (!initialized) return kUninitialized;
  *count = static_cast<unsigned>(script.gpus.size());
  return kSuccess;
}

int nvmlDeviceGetHandleByIndex(unsigned index, void** device) {
  if (index >= script.gpus.size()) return kInvalidArgument;
  *device = &script.gpus[index];
  return script.gpus[index].handle_error;
}

int nvmlDeviceGetPciInfo(void* device, unsigned char* info) {
  put_pci(fake(device)->bus_id, info, false);
  return kSuccess;
}

int nvmlDeviceGetUUID(void* device, char* text, unsigned length) {
  const FakeDevice* const found = fake(device);
  return found->error != kSuccess ? found->error : put(found->uuid, text, length);
}

int nvmlDeviceGetName(void* device, char* text, unsigned length) {
  return put(fake(device)->name, text, length);
}

int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  memory->total = fake(device)->memory;
  memory->used = fake(device)->memory_used;
  memory->free = memory->total - memory->used;
  return kSuccess;
}

int nvmlDeviceGetComputeRunningProcesses(void* device, unsigned* count, ProcessV1* entries) {
  return put_processes(device, count, entries);
}

#ifndef FAKE_NVML_OLD

int nvmlInit_v2() {
  return init();
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  return nvmlDeviceGetCount(count);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  return nvmlDeviceGetHandleByIndex(index, device);
}

int nvmlDeviceGetPciInfo_v3(void* device, unsigned char* info) {
  put_pci(fake(device)->bus_id, info, true);
  return kSuccess;
}

int nvmlDeviceGetMinorNumber(void* device, unsigned* minor) {
  *minor = fake(device)->minor;
  return kSuccess;
}

int nvmlDeviceGetMemoryAffinity(void* device, unsigned size, unsigned long* words, unsigned) {
  return put_bits(fake(device)->near_nodes, size, words);
}

int nvmlDeviceGetCpuAffinity(void* device, unsigned size, unsigned long* words) {
  return put_bits(fake(device)->near_cpus, size, words);
}

int nvmlDeviceGetMigMode(void* device, unsigned* current, unsigned* pending) {
  *current = *pending = fake(device)->mig ? 1 : 0;
  return kSuccess;
}

int nvmlDeviceGetMaxMigDeviceCount(void* device, unsigned* count) {
  *count = fake(device)->mig ? 7 : 0;
  return kSuccess;
}

// The first index stays empty, as after an instance was destroyed.
int nvmlDeviceGetMigDeviceHandleByIndex(void* device, unsigned index, void** instance) {
  std::deque<FakeDevice>& instances = fake(device)->instances;
  if (index == 0 || index > instances.size()) return kNotFound;
  *instance = &instances[index - 1];
  return kSuccess;
}

int nvmlDeviceGetGpuInstanceId(void* device, unsigned* id) {
  *id = fake(device)->gpu_instance;
  return fake(device)->is_instance ? kSuccess : kInvalidArgument;
}

int nvmlDeviceGetComputeInstanceId(void* device, unsigned* id) {
  *id = fake(device)->compute_instance;
  return fake(device)->is_instance ? kSuccess : kInvalidArgument;
}

int nvmlDeviceGetNvLinkState(void* device, unsigned link, int* active) {
  const FakeDevice* const found = fake(device);
  if (found->links.empty()) return kNotSupported;
  if (link >= 18) return kInvalidArgument;
  *active = link < found->links.size() ? 1 : 0;
  return kSuccess;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(void* device, unsigned link, unsigned char* info) {
  const FakeDevice* const found = fake(device);
  if (link >= found->links.size()) return kInvalidArgument;
  put_pci(found->links[link].bus_id, info, true);
  return kSuccess;
}

int nvmlDeviceGetNvLinkRemoteDeviceType(void* device, unsigned link, int* type) {
  const FakeDevice* const found = fake(device);
  if (link >= found->links.size()) return kInvalidArgument;
  *type = found->links[link].type;
  return kSuccess;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, ProcessV2* entries) {
  return put_processes(device, count, entries);
}

struct Utilization {
  unsigned gpu, memory;
};

int nvmlDeviceGetUtilizationRates(void* device, Utilization* use) {
  const FakeDevice* const found = fake(device);
  if (found->slow_seconds > 0) ::sleep(found->slow_seconds);
  if (!found->tells_use) return kNotSupported;
  *use = {found->percent, found->percent / 2};
  return kSuccess;
}

int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = fake(device)->watts * 1000;
  return fake(device)->tells_use ? kSuccess : kNotSupported;
}

int nvmlDeviceGetEnforcedPowerLimit(void* device, unsigned* milliwatts) {
  *milliwatts = 400'000;
  return fake(device)->tells_use ? kSuccess : kNotSupported;
}

int nvmlDeviceGetTemperature(void* device, int sensor, unsigned* celsius) {
  if (sensor != 0) return kInvalidArgument;
  *celsius = fake(device)->celsius;
  return fake(device)->tells_use ? kSuccess : kNotSupported;
}

int nvmlDeviceGetClockInfo(void* device, int type, unsigned* megahertz) {
  if (type != 1 && type != 2) return kInvalidArgument;
  *megahertz = type == 1 ? 1410 : 1215;
  return fake(device)->tells_use ? kSuccess : kNotSupported;
}

int nvmlDeviceGetTotalEccErrors(void* device, int error, int counter, unsigned long long* count) {
  if (error < 0 || error > 1 || counter != 0) return kInvalidArgument;
  *count = fake(device)->ecc[error];
  return fake(device)->tells_use ? kSuccess : kNotSupported;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  *reasons = fake(device)->throttle;
  return fake(device)->tells_use ? kSuccess : kNotSupported;
}

#endif
}
