// Which RDMA devices are nearest to which GPUs, or to ranks without GPUs.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// Gives every rank the devices nearest to its GPUs (without GPUs: to its cores), by name: for each
// GPU the one with the least (distance, GPUs that have it, difference of positions).  Devices that
// are left over go to the GPUs on their PCI switch, or all of them where there are several for each
// GPU.  Devices that are down or unfit are skipped; where nobody knows the distance none is given,
// unless the node has one alone.
void choose_nics(const topology::NodeInventory& inventory, std::vector<RankPlacement>& ranks);

// R of the score: for each GPU 1 on the PCI switch of its device, 0.75 in its NUMA node, 0.4 in its
// package, else 0.1; their mean, times the smallest load of a device to the largest.
double rail_of(const topology::NodeInventory& inventory, const std::vector<RankPlacement>& ranks);

}  // namespace muster::plan
