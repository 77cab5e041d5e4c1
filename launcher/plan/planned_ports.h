// The ports that a run's programs open beside Muster's own, and where: for firewalls, and for those
// who ask why a run needs a network.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"

namespace muster::plan {

struct PlannedPort {
  std::string who;    // "mpirun", "rank 0"
  std::string port;   // "any", "29500", "1024 to 65535"
  std::string where;  // networks or interfaces
  std::string why;
};

// Of programs that use what the plan gives them; a program may open others.
std::vector<PlannedPort> planned_ports(const LaunchPlan& plan);

}  // namespace muster::plan
