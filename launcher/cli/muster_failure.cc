#include "launcher/cli/muster_failure.h"

#include "base/exit_code.h"

namespace muster::cli {

plan::RunOutcome failure_of_muster(const Error& error, const std::string& how) {
  plan::RunOutcome outcome;
  outcome.status = plan::RunStatus::kFailed;
  outcome.exit_code = to_int(exit_code_for(error.code));
  plan::FirstFailure failure;
  failure.origin = plan::FailureOrigin::kMuster;
  failure.how = how;
  failure.description = error.message;
  outcome.first_failure = failure;
  outcome.started_at = outcome.ended_at = std::chrono::system_clock::now();
  return outcome;
}

void fail_if_successful(plan::RunOutcome& outcome, const Error& error, const std::string& how) {
  if (outcome.exit_code != 0) return;
  const plan::RunOutcome failed = failure_of_muster(error, how);
  outcome.status = failed.status;
  outcome.exit_code = failed.exit_code;
  outcome.first_failure = failed.first_failure;
}

}  // namespace muster::cli
