#include "rank_agent/memory_cgroup.h"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace muster::agent {
namespace {

constexpr std::size_t kLongestFile = 64 * 1024;
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;  // version 1 writes nearly 2^63 for none

// "4:memory:/path" and, for version 2, "0::/path".
std::optional<std::string> path_in(const std::string& groups, bool version_1) {
  for (const std::string& line : split(groups, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const auto controllers = split(line.substr(first + 1, second - first - 1), ',');
    const bool wanted =
        version_1 ? std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()
                  : line.starts_with("0::");
    if (wanted) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::string file_of_kills(int version) {
  return version == 1 ? "/memory.oom_control" : "/memory.events";
}

// Where the files of `path` are below the mount.  A container may see a path of its host whose
// upper part is not mounted here, so what is missing is left out from above.
std::optional<std::string> directory_of(const std::string& mount, std::string path, int version) {
  if (path.find("/..") != path.npos) path.clear();  // above what our cgroup namespace shows
  if (path == "/") path.clear();
  while (true) {
    const std::string directory = mount + path;
    // What is there and forbidden is ours all the same, and has a reason to tell when it is read.
    if (::access((directory + file_of_kills(version)).c_str(), F_OK) == 0 || errno == EACCES) {
      return directory;
    }
    if (path.empty()) return std::nullopt;
    const std::size_t slash = path.find('/', 1);
    path = slash == path.npos ? "" : path.substr(slash);
  }
}

std::optional<std::uint64_t> number_in(const std::string& file) {
  const auto text = read_file(file, kLongestFile);
  if (!text) return std::nullopt;
  const auto number = parse_integer(text->substr(0, text->find('\n')));
  if (!number || *number < 0) return std::nullopt;  // "max"
  return static_cast<std::uint64_t>(*number);
}

}  // namespace

std::optional<std::uint64_t> counter(std::string_view text, std::string_view key) {
  for (const std::string& line : split(text, '\n')) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    const auto number = parse_integer(std::string_view(line).substr(key.size() + 1));
    if (number && *number >= 0) return static_cast<std::uint64_t>(*number);
  }
  return std::nullopt;
}

Result<MemoryCgroup> memory_cgroup(const std::string& process, const std::string& root) {
  MUSTER_TRY_ASSIGN(const std::string groups,
                    read_file(root + "/proc/" + process + "/cgroup", kLongestFile));
  const std::string mounts = root + "/sys/fs/cgroup";
  MemoryCgroup found;
  if (const auto path = path_in(groups, true)) {
    found = {1, *path, "", mounts + "/memory"};
  } else if (const auto unified = path_in(groups, false)) {
    found = {2, *unified, "", mounts};
  } else {
    return fail(ErrorCode::kResources, "it is in no memory cgroup");
  }
  auto directory = directory_of(found.top, found.path, found.version);
  if (!directory && found.version == 2) {  // a hybrid layout, with the memory controller on 2
    found.top += "/unified";
    directory = directory_of(found.top, found.path, found.version);
  }
  if (!directory) {
    return fail(ErrorCode::kResources, "no files of memory cgroup " + found.path + " are mounted");
  }
  found.directory = *directory;
  return found;
}

Result<OomKillCount> oom_kills(const MemoryCgroup& cgroup) {
  const std::string file = cgroup.directory + file_of_kills(cgroup.version);
  MUSTER_TRY_ASSIGN(const std::string text, read_file(file, kLongestFile));
  const auto counted = counter(text, "oom_kill");
  if (!counted) {
    return fail(ErrorCode::kResources, file + " does not count OOM kills (Linux before 4.13)");
  }
  if (cgroup.version == 1) return OomKillCount{*counted, 0};
  // memory.events counts what is below as well; which is which is known since Linux 5.2.
  const auto local = read_file(file + ".local", kLongestFile);
  const auto own = local ? counter(*local, "oom_kill") : std::nullopt;
  if (!own) return OomKillCount{*counted, 0};
  return OomKillCount{*own, *counted - std::min(*counted, *own)};
}

std::optional<MemoryLimit> memory_limit(const MemoryCgroup& cgroup) {
  const bool v1 = cgroup.version == 1;
  std::optional<MemoryLimit> smallest;
  std::string directory = cgroup.directory;
  std::string path = cgroup.path;
  while (true) {
    const auto limit = number_in(directory + (v1 ? "/memory.limit_in_bytes" : "/memory.max"));
    if (limit && *limit < kNoLimit && (!smallest || *limit < smallest->bytes)) {
      const auto peak = number_in(directory + (v1 ? "/memory.max_usage_in_bytes" : "/memory.peak"));
      smallest = {*limit, peak.value_or(0), path.empty() ? "/" : path};
    }
    if (directory.size() <= cgroup.top.size()) return smallest;
    directory.erase(directory.rfind('/'));
    if (const std::size_t slash = path.rfind('/'); slash != path.npos) path.erase(slash);
  }
}

}  // namespace muster::agent
