#include "launcher/cli/run_followers.h"

#include "base/exit_code.h"
#include "launcher/exec/metrics_follower.h"

namespace muster::cli {
namespace {

// What could not be stored or delivered makes a run that succeeded a failed one.
void record_failure(plan::RunOutcome& outcome, const Error& error) {
  outcome.warnings.push_back(error.message);
  if (outcome.exit_code != 0) return;
  outcome.status = plan::RunStatus::kFailed;
  outcome.exit_code = to_int(exit_code_for(error.code));
  plan::FirstFailure failure;
  failure.origin = plan::FailureOrigin::kMuster;
  failure.how = "run_store";
  failure.description = error.message;
  outcome.first_failure = std::move(failure);
}

std::unique_ptr<exec::Follower> metrics_of(const FollowerContext& context) {
  std::vector<metrics::PatternSpec> specs;
  for (const config::MetricPattern& pattern : context.plan.metric_patterns) {
    const metrics::Preset* preset = metrics::find_preset(pattern.preset);
    specs.push_back(preset ? preset->spec : metrics::PatternSpec{pattern.name, pattern.regex});
  }
  // The config was refused if one of them is none.
  auto patterns = metrics::Patterns::compile(specs);
  return std::make_unique<exec::MetricsFollower>(
      context.directory, patterns ? std::move(*patterns) : metrics::Patterns(),
      context.run.inputs.caller_environment);
}

}  // namespace

Result<RunFollowers> RunFollowers::create(const FollowerContext& context) {
  RunFollowers followers;
  followers.followers_.push_back(metrics_of(context));
  return followers;
}

void RunFollowers::start() {
  if (started_) return;
  started_ = true;
  for (const auto& follower : followers_) follower->start();
}

void RunFollowers::grown() {
  for (const auto& follower : followers_) follower->grown();
}

std::vector<std::string> RunFollowers::finish(exec::Follower::Stage stage,
                                              plan::RunOutcome& outcome,
                                              const exec::FinishLimits& limits) {
  std::vector<std::string> said;
  for (const auto& follower : followers_) {
    if (follower->stage() != stage) continue;
    exec::FollowerEnd end = follower->finish(limits);
    for (std::string& text : end.said) said.push_back(std::move(text));
    for (std::string& text : end.warnings) outcome.warnings.push_back(std::move(text));
    if (end.failure) record_failure(outcome, *end.failure);
  }
  return said;
}

}  // namespace muster::cli
