// GPUs as NVML knows them.
#pragma once

#include <string>

#include "launcher/topology/gpu_answer.h"
#include "launcher/topology/gpu_users.h"

namespace muster::topology {

inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

// Loads the library, asks, shuts it down and unloads it.  May block for as long as the driver does:
// see ForkedAnswer.  `root` stands before /sys, for the CPUs of NUMA nodes.
GpuAnswer ask_nvml(const std::string& library_file, const std::string& root = "/");

// Only who uses which GPU; empty when it cannot be told.
GpuUsers ask_nvml_for_users(const std::string& library_file);

}  // namespace muster::topology
