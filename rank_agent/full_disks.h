// File systems without room: what makes a write fail, and a mapped page end in SIGBUS.
#pragma once

#include <optional>
#include <string>
#include <sys/statvfs.h>
#include <vector>

#include "node.pb.h"

namespace muster::agent {

// "has no room left (64.0 MiB, all used)", "has no inodes left (1000)"; nullopt: it has both.
std::optional<std::string> lack_of_room(const struct statvfs& state);

// Of the directories that a rank writes to, those without room; of /dev/shm also when the rank was
// ended by SIGBUS and it is small.
std::vector<protocol::Finding> find_full_disks(const std::vector<std::string>& directories,
                                               bool bus_error);

}  // namespace muster::agent
