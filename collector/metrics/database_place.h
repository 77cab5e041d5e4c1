// Where metrics.db may live while it is written.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "muster/result.h"

namespace muster::metrics {

// A directory of this node's own, for a database whose run directory is elsewhere: the cache
// directory, else TMPDIR, /tmp, XDG_RUNTIME_DIR or /dev/shm.  Errors: kInternal, none can be used.
Result<std::filesystem::path> own_disk(const std::map<std::string, std::string>& environment);

}  // namespace muster::metrics
