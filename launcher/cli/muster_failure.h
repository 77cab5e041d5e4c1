// Failures that are Muster's own and no rank's, as outcomes of a run.
#pragma once

#include <string>

#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::cli {

// `how` is the word of run.json: "run_directory", "data", "not_started", …
plan::RunOutcome failure_of_muster(const Error& error, const std::string& how);

// A run whose results or record could not be stored has not succeeded, whatever its ranks did.
void fail_if_successful(plan::RunOutcome& outcome, const Error& error,
                        const std::string& how = "run_directory");

}  // namespace muster::cli
