#include "launcher/plan/launch_plan.h"

#include "launcher/plan/make_plan.h"
#include "launcher/plan/run_outcome.h"

namespace muster::plan {

LaunchPlan::LaunchPlan() = default;
LaunchPlan::LaunchPlan(const LaunchPlan&) = default;
LaunchPlan::LaunchPlan(LaunchPlan&&) noexcept = default;
LaunchPlan& LaunchPlan::operator=(const LaunchPlan&) = default;
LaunchPlan& LaunchPlan::operator=(LaunchPlan&&) noexcept = default;
LaunchPlan::~LaunchPlan() = default;

PlanInputs::PlanInputs() = default;
PlanInputs::PlanInputs(const PlanInputs&) = default;
PlanInputs::PlanInputs(PlanInputs&&) noexcept = default;
PlanInputs& PlanInputs::operator=(const PlanInputs&) = default;
PlanInputs& PlanInputs::operator=(PlanInputs&&) noexcept = default;
PlanInputs::~PlanInputs() = default;

RunOutcome::RunOutcome() = default;
RunOutcome::RunOutcome(const RunOutcome&) = default;
RunOutcome::RunOutcome(RunOutcome&&) noexcept = default;
RunOutcome& RunOutcome::operator=(const RunOutcome&) = default;
RunOutcome& RunOutcome::operator=(RunOutcome&&) noexcept = default;
RunOutcome::~RunOutcome() = default;

}  // namespace muster::plan
