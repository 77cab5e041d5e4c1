// A config with its ${{inputs.NAME}} and ${{outputs.NAME}} filled in.
#pragma once

#include "launcher/config/expressions.h"
#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::plan {

// In the command, the arguments and the variables.  The values are reference_values() of
// data_plan.h.
Result<config::RunConfig> with_references(const config::RunConfig& config,
                                          const config::ReferenceValues& values);

}  // namespace muster::plan
