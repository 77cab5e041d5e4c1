// What is mounted where, as the kernel's table says.
//
// Only the table is read: a call on the mount point itself blocks for as long as the file system
// behind it does not answer.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "muster/result.h"

namespace muster {

// One line of /proc/self/mountinfo.
struct Mount {
  int id = 0;
  dev_t device = 0;
  std::filesystem::path root;   // of the file system, what is seen at `point`
  std::filesystem::path point;  // where it is mounted
  bool read_only = false;       // this mount; others of the same file system may differ
  bool shared = false;          // mounting and unmounting below it is seen by its peers
  std::string type;             // "ext4", "fuse.rclone", "nfs4"
  std::string source;           // "/dev/sda1", "remote:path"
};

// In the order of the table: of several mounts on one point the last one is seen.  Lines that are
// none are left out.
std::vector<Mount> parse_mount_table(std::string_view text);

// Of this process; empty where there is no /proc.
std::vector<Mount> mount_table();

// The mount that is seen at exactly this path; nullopt when nothing is mounted there.
std::optional<Mount> mount_at(const std::vector<Mount>& table, const std::filesystem::path& point);

// Those at `path` and anywhere below it, by the path alone; the last one mounted comes last.
std::vector<Mount> mounts_below(const std::vector<Mount>& table, const std::filesystem::path& path);

// The path with its parent's links resolved, as the table would name it.  The last component is not
// looked at.
std::filesystem::path path_in_table(const std::filesystem::path& path);

// Takes everything away that is mounted at `path` or below, at once and without waiting for any
// file system (lazily), by umount2(2) or, for a FUSE mount of an ordinary user, fusermount3.
// Returns what could not be taken away.
std::vector<Mount> detach_mounts_below(const std::filesystem::path& path);

}  // namespace muster
