#include "rank_agent/full_disks.h"

#include <sys/stat.h>

#include <set>

#include "base/text.h"

namespace muster::agent {
namespace {

constexpr const char* kSharedMemory = "/dev/shm";
constexpr std::uint64_t kNoRoom = 64 * 1024;
// Docker gives 64 MiB; frameworks that share memory are happy with a few times more.
constexpr std::uint64_t kSmallSharedMemory = std::uint64_t{1} << 30;
constexpr const char* kSharedMemoryHint =
    "a container's /dev/shm is 64 MiB unless it is told otherwise: --shm-size=8g (docker, podman), "
    "an emptyDir with medium: Memory (Kubernetes)";

protocol::Finding finding(const char* kind, const std::string& text, const char* hint) {
  protocol::Finding one;
  one.set_kind(kind);
  one.set_text(text);
  one.set_hint(hint);
  return one;
}

std::uint64_t size_of(const struct statvfs& state) {
  return std::uint64_t{state.f_blocks} * state.f_frsize;
}

protocol::Finding small_shared_memory(const struct statvfs& state) {
  const std::uint64_t used = std::uint64_t{state.f_blocks - state.f_bfree} * state.f_frsize;
  return finding("shm_small",
                 "SIGBUS is what a process gets that writes to a full /dev/shm; this one has " +
                     format_bytes(size_of(state)) + ", of which " + format_bytes(used) +
                     " are used now",
                 kSharedMemoryHint);
}

}  // namespace

std::optional<std::string> lack_of_room(const struct statvfs& state) {
  // File systems without a fixed number of blocks or inodes say 0.
  if (state.f_blocks > 0 && std::uint64_t{state.f_bavail} * state.f_frsize < kNoRoom) {
    return "has no room left (" + format_bytes(size_of(state)) + ", all used)";
  }
  if (state.f_files > 0 && state.f_favail == 0) {
    return "has no inodes left (" + std::to_string(state.f_files) + ", all used)";
  }
  return std::nullopt;
}

std::vector<protocol::Finding> find_full_disks(const std::vector<std::string>& directories,
                                               bool bus_error) {
  std::vector<protocol::Finding> findings;
  std::set<dev_t> seen;
  struct statvfs state {};
  struct stat status {};
  if (::statvfs(kSharedMemory, &state) == 0 && ::stat(kSharedMemory, &status) == 0) {
    const auto lack = lack_of_room(state);
    if (lack && (state.f_flag & ST_RDONLY) == 0) {
      findings.push_back(
          finding("shm_full", std::string(kSharedMemory) + " " + *lack, kSharedMemoryHint));
    } else if (bus_error && size_of(state) <= kSmallSharedMemory) {
      findings.push_back(small_shared_memory(state));
    }
    seen.insert(status.st_dev);
  }
  for (const std::string& directory : directories) {
    if (directory.empty() || ::stat(directory.c_str(), &status) != 0 ||
        !seen.insert(status.st_dev).second || ::statvfs(directory.c_str(), &state) != 0 ||
        (state.f_flag & ST_RDONLY) != 0) {
      continue;
    }
    if (const auto lack = lack_of_room(state)) {
      findings.push_back(finding("no_space", "the file system of " + directory + " " + *lack,
                                 "make room there, or write elsewhere (TMPDIR names the place of "
                                 "temporary files)"));
    }
  }
  return findings;
}

}  // namespace muster::agent
