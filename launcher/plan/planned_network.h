// Where the nodes of a run meet: loopback on one, what was proved on several, what the head has
// told where this is one of the others.
#pragma once

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::plan {

inline constexpr const char* kMeasuredAtJoin = "<measured at join>";  // before they have met

// Fills the plan's network, and its nodes' addresses and interfaces, with reasons.  Needs the
// plan's nodes.  Fails with kInternal when the choice is of another number of nodes.
Result<> plan_network(const PlanInputs& inputs, LaunchPlan& plan);

// "10.0.0.4:29500", "[fd00::4]:29500"
std::string with_port(const std::string& address, const std::string& port);

}  // namespace muster::plan
