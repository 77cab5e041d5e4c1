// azureml-logs/process_info.json and process_status.json: which process ran where and how each
// fares, in Azure ML's words for it.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/run_outcome.h"
#include "launcher/report/run_json.h"

namespace muster::report {

// `ranks`: what is known of each, [rank]; shorter while they are not known yet.
std::string process_info_json(const PlanSummary& plan, const std::vector<plan::RankOutcome>& ranks);

// `outcome` is null while the run goes on.
std::string process_status_json(const PlanSummary& plan,
                                const std::vector<plan::RankOutcome>& ranks,
                                const plan::RunOutcome* outcome);

}  // namespace muster::report
