#include "base/cache_directory.h"

namespace muster {
namespace fs = std::filesystem;

Result<fs::path> cache_directory(const std::map<std::string, std::string>& environment) {
  const auto value = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  if (const std::string own = value("MUSTER_CACHE_DIR"); !own.empty()) {
    return fs::absolute(own).lexically_normal();
  }
  // A relative one is to be ignored, as the XDG specification says.
  if (const std::string xdg = value("XDG_CACHE_HOME"); xdg.starts_with('/')) {
    return fs::path(xdg) / "muster";
  }
  if (const std::string home = value("HOME"); home.starts_with('/')) {
    return fs::path(home) / ".cache/muster";
  }
  return fail(ErrorCode::kResources,
              "no place for a cache: MUSTER_CACHE_DIR, XDG_CACHE_HOME and HOME are not set",
              "set MUSTER_CACHE_DIR to a directory with room that outlives the run");
}

}  // namespace muster
