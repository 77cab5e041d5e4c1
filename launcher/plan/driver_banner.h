// The sentences that Azure ML's driver wrote around a program's output, for tools that look for
// them.  Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"

namespace muster::plan {

// By the name of a config's dialect.
DriverSentences driver_sentences_of(std::string_view dialect);

// Before the first byte of a rank whose argv became `argv`.
std::string driver_banner(const LaunchPlan& plan, const std::vector<std::string>& argv);

// After its last byte.  Azure ML's words for a success; what else happened is told in ours.
std::string driver_epilogue(DriverSentences sentences, const RankOutcome& rank);

}  // namespace muster::plan
