// torchrun's `cpu`, `gpu` and `auto`: how many ranks that is on this machine.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "launcher/config/read_config.h"
#include "muster/result.h"

namespace muster::cli {

// What `--nproc-per-node auto` is, where Muster's own `-n auto` looks at NUMA nodes.
inline constexpr std::string_view kGpuElseCpu = "gpu, else cpu";

// The overrides, with a number where the count of processes that holds is `cpu`, `gpu` or
// kGpuElseCpu.
Result<std::vector<config::Override>> with_counts(std::span<const config::Override> overrides);

}  // namespace muster::cli
