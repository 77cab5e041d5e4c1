// What the steps of placement say when something does not fit.
#pragma once

#include <string>

#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::plan {

// "cannot place 8 processes on node-a: WHY", kResources, with the place of the setting.
Failure cannot_place(const topology::NodeInventory& inventory, int ranks, const std::string& why,
                     std::string hint, const config::Origin& origin);

std::string processes(int count);  // "1 process", "8 processes"

// "set process_count_per_node to 8"; where that does not say how many there are on this node:
// "start 8 processes in all".
std::string set_processes(const PlacementRequest& request, int count);

}  // namespace muster::plan
