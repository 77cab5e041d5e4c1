// Who is a worker and who a parameter server, and what each is told (TF_CONFIG).
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::plan {

// The first ranks are the workers: rank 0 is then worker 0, which TensorFlow takes for the chief,
// and which the console shows.  Needs the plan's ranks.
Result<> assign_roles(const config::RunConfig& config, LaunchPlan& plan);

bool has_roles(const LaunchPlan& plan);

// Ranks that serve the others, and are ended when those have ended.
std::vector<int> servers(const LaunchPlan& plan);

// "worker", "ps": as TensorFlow says.
std::string to_string(RankRole role);

// "127.0.0.1:61408" for each rank of that role, in their order.
std::vector<std::string> addresses_of(const LaunchPlan& plan, RankRole role,
                                      const StartValues& start);

}  // namespace muster::plan
