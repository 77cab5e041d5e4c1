// A RunConfig → the native YAML that reads back to it.
#pragma once

#include <string>

#include "launcher/config/run_config.h"

namespace muster::config {

// Every setting that somebody chose; defaults are left out.  How a value came about, and what the
// dialect's reader had to say, are comments.
std::string native_yaml(const RunConfig& config);

// The same config, as a file in another directory has to write it: relative paths lead to the same
// places.  `directory` is absolute.
RunConfig relocated(RunConfig config, const std::string& directory);

}  // namespace muster::config
