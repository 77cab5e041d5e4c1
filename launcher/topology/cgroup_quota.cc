// Reads cpu.max (cgroup v2) and cpu.cfs_quota_us (v1).
//
// A quota on any ancestor binds us too, so every directory from our own up to the mount's top is
// read.  Inside a container /proc/self/cgroup may name a path of the host that is not mounted here;
// what is missing is skipped, and the top, which is then the container's own group, still counts.
// Whatever cannot be read or parsed is no limit: a wrong guess must not make a run slower.
#include "launcher/topology/cgroup_quota.h"

#include <algorithm>
#include <string>

#include "base/files.h"
#include "base/text.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

std::optional<std::int64_t> read_integer(const fs::path& path) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  return parse_integer(text->substr(0, text->find('\n')));
}

std::optional<double> ratio(std::optional<std::int64_t> quota, std::optional<std::int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// "max 100000" or "150000 100000"
std::optional<double> quota_v2(const fs::path& directory) {
  const auto text = read_file(directory / "cpu.max");
  if (!text) return std::nullopt;
  const auto words = split(text->substr(0, text->find('\n')), ' ');
  if (words.size() != 2) return std::nullopt;
  return ratio(parse_integer(words[0]), parse_integer(words[1]));
}

std::optional<double> quota_v1(const fs::path& directory) {
  return ratio(read_integer(directory / "cpu.cfs_quota_us"),
               read_integer(directory / "cpu.cfs_period_us"));
}

// `path` below `mount`, then its ancestors, `mount` last.
std::vector<fs::path> with_ancestors(const fs::path& mount, const std::string& path) {
  std::vector<fs::path> directories{mount};
  for (const std::string& name : split(path, '/')) {
    if (name.empty()) continue;
    if (name == "..") return {mount};  // outside of what our cgroup namespace shows
    directories.push_back(directories.back() / name);
  }
  std::reverse(directories.begin(), directories.end());
  return directories;
}

void keep_smaller(std::optional<double>& smallest, std::optional<double> quota) {
  if (quota && (!smallest || *quota < *smallest)) smallest = quota;
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const fs::path& root) {
  const auto groups = read_file(root / "proc/self/cgroup");
  if (!groups) return std::nullopt;
  const fs::path mounts = root / "sys/fs/cgroup";

  std::optional<double> smallest;
  for (const std::string& line : split(*groups, '\n')) {  // "0::/path" or "4:cpu,cpuacct:/path"
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      for (const fs::path& directory : with_ancestors(mounts, path)) {
        keep_smaller(smallest, quota_v2(directory));
      }
      continue;
    }
    const auto names = split(controllers, ',');
    if (std::find(names.begin(), names.end(), "cpu") == names.end()) continue;
    std::error_code missing;
    const bool joined = fs::is_directory(mounts / controllers, missing);
    for (const fs::path& directory :
         with_ancestors(mounts / (joined ? controllers : "cpu"), path)) {
      keep_smaller(smallest, quota_v1(directory));
    }
  }
  return smallest;
}

}  // namespace muster::topology
