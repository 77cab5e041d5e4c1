// What ranks and mpirun find in their environment.
//
// A rank sees: what it inherits from the caller without stale identity, then the plan's common
// variables, then its own, then what only its start can know (OMPI_*, PMIX_*, sockets), which
// launcher/exec and the agent add.
#pragma once

#include <map>
#include <string>

#include "launcher/config/run_config.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::plan {

using Environment = std::map<std::string, std::string>;

// Fills common_environment, rank_environment and the two lists of dropped names, with reasons.
// Needs the plan's ranks.  Fails with kConfig when the config sets an identity variable.
Result<> plan_environment(const config::RunConfig& config, const PlanInputs& inputs,
                          const StartValues& start, LaunchPlan& plan);

// What a rank inherits from the caller.
Environment inherited_environment(const PlanInputs& inputs);

// What the plan sets for one rank: the common variables, then its own.  They win over what is
// there.
void add_planned_variables(const LaunchPlan& plan, int rank, Environment& environment);

// Inherited, common and own variables of one rank together.
Environment complete_rank_environment(const LaunchPlan& plan, const PlanInputs& inputs, int rank);

// The environment that mpirun is exec'd with; launcher/exec adds what is specific to a start.  A
// variable of plan.mpirun->environment that the caller sets stays the caller's.
Environment mpirun_environment(const LaunchPlan& plan, const PlanInputs& inputs);

}  // namespace muster::plan
