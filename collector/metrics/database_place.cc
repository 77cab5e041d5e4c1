#include "collector/metrics/database_place.h"

#include <unistd.h>
#include <vector>

#include "base/cache_directory.h"
#include "base/files.h"
#include "collector/sqlite/local_disk.h"

namespace muster::metrics {
namespace fs = std::filesystem;

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
    if (make_directories(place) && ::access(place.c_str(), W_OK) == 0 &&
        sqlite::keeps_databases(place)) {
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
