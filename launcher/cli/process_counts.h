// torchrun's `cpu` and `gpu`: how many ranks that is on this machine.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "launcher/config/read_config.h"
#include "muster/result.h"

namespace muster::cli {

// The overrides, with a number where a count of processes is `cpu` or `gpu`.
Result<std::vector<config::Override>> with_counts(std::span<const config::Override> overrides);

// How many of `devices` a CUDA_VISIBLE_DEVICES leaves visible.
int visible_devices(int devices, std::string_view visible);

}  // namespace muster::cli
