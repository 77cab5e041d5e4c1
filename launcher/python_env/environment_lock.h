// The right to make one environment, among all launchers that see the same cache.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/fd.h"
#include "base/preparation.h"
#include "muster/result.h"

namespace muster::python_env {

// Waits until nobody else has it; the kernel takes it from whoever dies.  `maker` is told to those
// who wait, and `say` is told whom we wait for.
Result<Fd> lock_environment(Preparation& preparation, const std::filesystem::path& directory,
                            const std::string& maker,
                            const std::function<void(const std::string&)>& say);

}  // namespace muster::python_env
