// Where a database may live while it is written.
#pragma once

#include <filesystem>

namespace muster::sqlite {

// By what statfs() calls it: a file system of this node alone, with the locks and the shared memory
// that a database needs.  Network file systems, FUSE, and what nobody knows are none.
bool keeps_databases(long file_system_type);
bool keeps_databases(const std::filesystem::path& directory);

}  // namespace muster::sqlite
