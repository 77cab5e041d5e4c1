// What the steps of placement say when something does not fit.
#pragma once

#include <string>

#include "launcher/config/run_config.h"
#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::plan {

// "cannot place 8 processes on node-a: WHY", kResources, with the place of the setting.
Failure cannot_place(const topology::NodeInventory& inventory, int ranks, const std::string& why,
                     std::string hint, const config::Origin& origin);

std::string processes(int count);  // "1 process", "8 processes"

}  // namespace muster::plan
