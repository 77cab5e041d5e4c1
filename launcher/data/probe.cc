#include "launcher/data/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"

namespace muster::data {
namespace {

using Clock = std::chrono::steady_clock;
using Environment = std::map<std::string, std::string>;

constexpr auto kVersionPatience = std::chrono::seconds(10);

std::string search_path(const Environment& environment) {
  const auto found = environment.find("PATH");
  // mount(8) and its kin are also where an ordinary user's PATH does not look.
  const std::string own = found == environment.end() ? "" : found->second + ":";
  return own + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

std::string program(const std::string& name, const std::string& path) {
  const auto found = find_program(name, path);
  return found ? found->string() : "";
}

// umount2 of what is no mount point tells who may not (EPERM) from who may (EINVAL).
std::string why_no_mounting() {
  ::umount2("/proc/self/status", UMOUNT_NOFOLLOW);
  if (errno == EINVAL) return "";
  return ::geteuid() == 0 ? "this container does not allow it" : "it takes root";
}

// fusermount3 is set-uid root, and opens the device as its caller all the same.
std::string why_no_fuse() {
  if (::access("/dev/fuse", F_OK) != 0) {
    return "no /dev/fuse is here (containers get it with --device /dev/fuse)";
  }
  if (::access("/dev/fuse", R_OK | W_OK) == 0) return "";
  return std::string("/dev/fuse cannot be opened: ") + std::strerror(errno);
}

plan::DataFacts::LocalPath look_at(const std::string& path) {
  plan::DataFacts::LocalPath facts;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) facts.problem = std::strerror(errno);
    return facts;
  }
  facts.exists = true;
  facts.is_directory = S_ISDIR(info.st_mode);
  facts.is_readable = ::access(path.c_str(), facts.is_directory ? R_OK | X_OK : R_OK) == 0;
  if (!facts.is_directory) facts.bytes = static_cast<std::uint64_t>(info.st_size);
  return facts;
}

// The first line that `rclone version` prints: "rclone v1.60.1-DEV".
std::string version_of_rclone(const std::string& rclone, const Environment& environment) {
  auto pipe = make_pipe();
  const auto nothing = open_file("/dev/null", O_RDWR);
  if (!pipe || !nothing) return "";
  ChildSpec spec;
  spec.program = rclone;
  spec.argv = {"rclone", "version"};
  for (const auto& [name, value] : environment) spec.environment.push_back(name + "=" + value);
  spec.stdin_fd = spec.stderr_fd = nothing->get();
  spec.stdout_fd = pipe->write_end.get();
  spec.parent_death_signal = SIGKILL;
  auto child = Child::start(spec);
  if (!child) return "";
  pipe->write_end.reset();
  std::string text;
  const auto deadline = Clock::now() + kVersionPatience;
  while (text.find('\n') == std::string::npos && Clock::now() < deadline) {
    pollfd ready{pipe->read_end.get(), POLLIN, 0};
    if (::poll(&ready, 1, 100) <= 0) continue;
    char bytes[512];
    const ssize_t got = ::read(pipe->read_end.get(), bytes, sizeof bytes);
    if (got <= 0) break;
    text.append(bytes, static_cast<std::size_t>(got));
  }
  const std::string line = text.substr(0, text.find('\n'));
  const std::size_t version = line.find(" v");
  return version == std::string::npos ? "" : without_controls(line.substr(version + 2));
}

}  // namespace

plan::DataFacts probe(const ProbeWishes& wishes, const Environment& environment) {
  plan::DataFacts facts;
  const std::string path = search_path(environment);
  facts.mount_program = program("mount", path);
  facts.umount_program = program("umount", path);
  facts.mount_nfs = program("mount.nfs", path);
  facts.fusermount = program("fusermount3", path);
  if (facts.fusermount.empty()) facts.fusermount = program("fusermount", path);
  facts.why_not_mount = why_no_mounting();
  if (facts.why_not_mount.empty() && facts.mount_program.empty()) {
    facts.why_not_mount = "no mount is on PATH";
  }
  facts.may_mount = facts.why_not_mount.empty();
  facts.why_not_fuse = why_no_fuse();
  facts.has_fuse = facts.why_not_fuse.empty();
  for (const std::string& each : wishes.local_paths) facts.local[each] = look_at(each);
  if (wishes.rclone) {
    facts.rclone = program("rclone", path);
    if (!facts.rclone.empty()) facts.rclone_version = version_of_rclone(facts.rclone, environment);
  }
  return facts;
}

}  // namespace muster::data
