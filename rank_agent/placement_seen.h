// Where a training process may run and how its memory is placed, read back from the kernel: when it
// has just been started, and once more when its program has had time to change that.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

#include "node.pb.h"

namespace muster::agent {

// Of a process that has inherited this one's memory policy and has just begun.
protocol::PlacementSeen see_placement(pid_t training);

// Of one that has run for a while; and the threads and processes below this agent whose mask is
// another than `mask_at_start`, the narrowest first.
protocol::PlacementSeen see_placement_again(pid_t training, const std::string& mask_at_start);

// "preferred:1", "default", from the beginning of a line of /proc/PID/numa_maps; "" for what is no
// such line.
std::string policy_of_mapping(std::string_view line);

}  // namespace muster::agent
