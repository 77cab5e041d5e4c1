// The ways to deal cores to ranks that have GPUs.
#pragma once

#include <vector>

#include "launcher/plan/gpu_homes.h"
#include "launcher/plan/placement_layout.h"

namespace muster::plan {

// In order of preference among equal scores; each leaves no rank without a core, and those that
// would are left out.  Needs a rank with a home.
//
//   strict    a domain's cores go to the ranks with GPUs there, in proportion to these; domains
//             without GPUs only to ranks that are at home in two domains of their package
//   balanced  as many cores per GPU as a package has, as near as they can be had
//   spill     strict, and the ranks of a package share its domains without GPUs
//   even      as many cores for each rank, as near as they can be had; what does not divide is left
//   ordered   as many for each rank, in the order of the cores
//
// The last two are no choice of the config; they matter where ranks do not divide GPUs or nodes.
//
// With cores_per_rank every share is that large, and what a layout may not use bounds it: strict
// stays at home, spill in homes and domains without GPUs.
std::vector<Layout> gpu_layouts(const std::vector<Domain>& domains, const GpuHomes& homes,
                                const Deal& deal);

}  // namespace muster::plan
