// Slurm's way to write many names: "gpu[003-007,9],cpu1".
#pragma once

#include <string>
#include <vector>

#include "muster/result.h"

namespace muster::cluster {

inline constexpr std::size_t kMostHosts = 100'000;

// All names in order; leading zeros are kept.  Errors: kUsage: brackets or ranges that make no
// sense, more than kMostHosts names.
Result<std::vector<std::string>> expand_host_list(const std::string& list);

}  // namespace muster::cluster
