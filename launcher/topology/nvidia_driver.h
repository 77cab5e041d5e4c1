// What the kernel shows of NVIDIA's driver, without any of its libraries.
#pragma once

#include <string>
#include <vector>

#include "launcher/topology/gpu_answer.h"

namespace muster::topology {

// Tests and unusual installations name their libraries with these.
inline constexpr const char* kNvmlVariable = "MUSTER_NVML_LIBRARY";
inline constexpr const char* kCudaVariable = "MUSTER_CUDA_LIBRARY";

// /proc/driver/nvidia or a device node of it; `root` stands before both.
bool has_nvidia_driver(const std::string& root);

// "535.104.05" of the kernel module; "" when it is not loaded.
std::string nvidia_module_version(const std::string& root);

// /dev/nvidia0, …: those that are there.
std::vector<std::string> nvidia_device_nodes(const std::string& root);

// The GPUs of /proc/driver/nvidia/gpus whose device node is here and may be opened by us, by bus
// id. Instances (MIG) cannot be told apart this way.
GpuAnswer read_nvidia_proc(const std::string& root);

}  // namespace muster::topology
