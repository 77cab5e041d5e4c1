// GPUs as the CUDA driver knows them, where NVML is missing: a container that was given only the
// `compute` capability has libcuda and no libnvidia-ml.
#pragma once

#include <string>

#include "launcher/topology/gpu_answer.h"

namespace muster::topology {

inline constexpr const char* kCudaLibrary = "libcuda.so.1";

// All GPUs in the order of the PCI bus, whatever CUDA_VISIBLE_DEVICES says.  Changes this process's
// environment and starts the driver in it: only for a child that ends soon, see ForkedAnswer.
GpuAnswer ask_cuda(const std::string& library_file);

}  // namespace muster::topology
