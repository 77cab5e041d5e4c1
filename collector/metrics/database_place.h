// Where metrics.db may live while it is written.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "muster/result.h"

namespace muster::metrics {

// By what statfs() calls it: a file system of this node alone, with the locks and the shared memory
// that a database needs.  Network file systems, FUSE, and what nobody knows are none.
bool keeps_databases(long file_system_type);
bool keeps_databases(const std::filesystem::path& directory);

// A directory of this node's own, for a database whose run directory is elsewhere: the cache
// directory, else TMPDIR, /tmp, XDG_RUNTIME_DIR or /dev/shm.  Errors: kInternal, none can be used.
Result<std::filesystem::path> own_disk(const std::map<std::string, std::string>& environment);

}  // namespace muster::metrics
