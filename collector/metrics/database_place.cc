#include "collector/metrics/database_place.h"

#include <algorithm>
#include <sys/vfs.h>
#include <unistd.h>
#include <vector>

#include "base/cache_directory.h"
#include "base/files.h"

namespace muster::metrics {
namespace fs = std::filesystem;

bool keeps_databases(long file_system_type) {
  constexpr long kLocal[] = {
      0xEF53,      // ext2, ext3, ext4
      0x58465342,  // xfs
      0x9123683E,  // btrfs
      0x01021994,  // tmpfs
      0x858458F6,  // ramfs
      0x794C7630,  // overlayfs
      0x2FC12FC1,  // zfs
      0xF2F52010,  // f2fs
      0xCA451A4E,  // bcachefs
      0x3153464A,  // jfs
      0x52654973,  // reiserfs
      0xF15F,      // ecryptfs
  };
  // Some are negative where long has 32 bits.
  return std::find(std::begin(kLocal), std::end(kLocal), file_system_type & 0xFFFFFFFFL) !=
         std::end(kLocal);
}

bool keeps_databases(const fs::path& directory) {
  struct statfs status {};
  return ::statfs(directory.c_str(), &status) == 0 &&
         keeps_databases(static_cast<long>(status.f_type));
}

Result<fs::path> own_disk(const std::map<std::string, std::string>& environment) {
  std::vector<fs::path> places;
  if (auto cache = cache_directory(environment)) places.push_back(*cache / "metrics");
  for (const char* name : {"TMPDIR", "", "XDG_RUNTIME_DIR"}) {
    const auto value = environment.find(name);
    if (value != environment.end() && !value->second.empty()) places.emplace_back(value->second);
    if (*name == '\0') places.emplace_back("/tmp");
  }
  places.emplace_back("/dev/shm");
  std::string tried;
  for (const fs::path& place : places) {
    if (make_directories(place) && ::access(place.c_str(), W_OK) == 0 && keeps_databases(place)) {
      return place;
    }
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  return fail(ErrorCode::kInternal,
              "no place on this node's own disk for metrics.db: none of " + tried +
                  " is writable and local",
              "set MUSTER_CACHE_DIR or TMPDIR to a directory on a local disk");
}

}  // namespace muster::metrics
