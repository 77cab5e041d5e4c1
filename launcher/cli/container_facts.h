// The container that this process is in, as far as it can be seen from inside.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "launcher/plan/container_checks.h"

namespace muster::cli {

// `root` is another "/" in tests.
plan::ContainerFacts find_container(const std::map<std::string, std::string>& environment,
                                    const std::filesystem::path& root = "/");

}  // namespace muster::cli
