#include "base/process_limits.h"

#include <algorithm>
#include <optional>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace muster {
namespace fs = std::filesystem;
namespace {

std::optional<std::int64_t> read_limit(const fs::path& directory) {
  const auto text = read_file(directory / "pids.max");
  if (!text) return std::nullopt;
  return parse_integer(text->substr(0, text->find('\n')));  // "max": none
}

// A limit on any ancestor binds us too.  Inside a container the path may be one of the host, which
// is not mounted here; the top, which is then the container's own group, still counts.
std::optional<std::int64_t> smallest_limit(const fs::path& mount, const std::string& path) {
  std::optional<std::int64_t> smallest;
  fs::path directory = mount;
  std::vector<std::string> names = split(path, '/');
  names.insert(names.begin(), "");
  for (const std::string& name : names) {
    if (name == "..") break;  // outside of what our cgroup namespace shows
    if (!name.empty()) directory /= name;
    const auto limit = read_limit(directory);
    if (limit && (!smallest || *limit < *smallest)) smallest = limit;
  }
  return smallest;
}

std::optional<std::int64_t> cgroup_limit(const fs::path& root) {
  const auto groups = read_file(root / "proc/self/cgroup");
  if (!groups) return std::nullopt;
  const fs::path mounts = root / "sys/fs/cgroup";
  std::optional<std::int64_t> smallest;
  for (const std::string& line : split(*groups, '\n')) {  // "0::/path" or "7:pids:/path"
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() < 3 || (!fields[1].empty() && fields[1] != "pids")) continue;
    const auto limit = smallest_limit(mounts / fields[1], fields[2]);
    if (limit && (!smallest || *limit < *smallest)) smallest = limit;
  }
  return smallest;
}

}  // namespace

std::string process_limits(const fs::path& root) {
  std::vector<std::string> limits;
  if (const auto limit = cgroup_limit(root)) {
    limits.push_back("at most " + std::to_string(*limit) +
                     " processes and threads in this cgroup "
                     "(pids.max)");
  }
  rlimit limit{};
  // The kernel does not hold root to its number of processes.
  if (::geteuid() != 0 && ::getrlimit(RLIMIT_NPROC, &limit) == 0 &&
      limit.rlim_cur != RLIM_INFINITY) {
    limits.push_back("at most " + std::to_string(limit.rlim_cur) +
                     " processes and threads of user " + std::to_string(::geteuid()) +
                     " (ulimit -u)");
  }
  return join(limits, ", ");
}

}  // namespace muster
