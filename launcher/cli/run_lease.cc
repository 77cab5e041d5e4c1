#include "launcher/cli/run_lease.h"

#include <chrono>
#include <unistd.h>

#include "base/text.h"

namespace muster::cli {
namespace {

// The run that we are in a rank of; "" for most.
std::string run_around(const std::map<std::string, std::string>& environment) {
  const auto run_id = environment.find("MUSTER_RUN_ID");
  const bool is_rank = environment.contains("MUSTER_METRICS");
  return is_rank && run_id != environment.end() ? run_id->second : "";
}

}  // namespace

std::string lease_text(const std::string& run_id) {
  const auto directory =
      exec::LeaseDirectory::open(caller_environment(), exec::LeaseDirectory::Making::kIfThere);
  if (!directory) return "";
  for (const exec::LeaseRecord& record : directory->read()) {
    if (record.held.run_id != run_id) continue;
    std::vector<std::string> parts;
    if (!record.held.cpus.empty()) parts.push_back("CPUs " + record.held.cpus.to_string());
    if (const auto gpus = static_cast<std::int64_t>(record.held.gpus.size()); gpus > 0) {
      parts.push_back(counted(gpus, "GPU"));
    }
    return join(parts, " and ") + " of this node, leased since " + record.since;
  }
  return "";
}

void look_at_leases(LoadedRun& run) {
  if (!run.config.resources.lease.value) return;
  const auto directory = exec::LeaseDirectory::open(run.inputs.caller_environment,
                                                    exec::LeaseDirectory::Making::kIfThere);
  if (!directory) return;  // what is wrong with it, a start says
  run.inputs.held =
      exec::held_by_others(directory->read(), run_around(run.inputs.caller_environment));
}

LeaseTaking::LeaseTaking(LoadedRun& run) : run_(run) {
  if (!run.config.resources.lease.value) return;
  const std::string around = run_around(run.inputs.caller_environment);
  auto directory = exec::LeaseDirectory::open(run.inputs.caller_environment);
  if (!directory) {
    problem_ = directory.error().message;
    return;
  }
  // Without it another start may choose at the same time; what runs have is there to be read.
  if (const auto locked = directory->lock(); !locked) lock_problem_ = locked.error().message;
  directory_ = std::move(*directory);
  const auto records = directory_->read();
  run.inputs.held = exec::held_by_others(records, around);
  around_ = exec::runs_around(records, around);
}

exec::Lease LeaseTaking::take(plan::LaunchPlan& plan, const std::string& run_id) {
  exec::Lease lease;
  plan::HeldByRun held = exec::held_by_plan(plan, run_.config.resources.binding.value);
  held.run_id = run_id;
  held.pid = ::getpid();
  const bool holds = !held.cpus.empty() || !held.gpus.empty();
  if (directory_ && holds) {
    auto taken =
        directory_->take({std::move(held), format_utc(std::chrono::system_clock::now()), around_});
    if (taken) lease = std::move(*taken);
    if (!taken) problem_ = taken.error().message;
  }
  directory_.reset();
  if (problem_.empty() && !lock_problem_.empty() && holds) {
    plan.warnings.push_back(
        "a run that starts at the same time may have chosen the same cores and "
        "GPUs: " +
        lock_problem_ + " (a start that stands still? see `lslocks`)");
  }
  if (!problem_.empty() && holds) {
    plan.warnings.push_back(
        "other runs on this node are not told which cores and GPUs this one has: " + problem_ +
        " (MUSTER_LEASE_DIR names another directory; resources.lease: false "
        "does without)");
  }
  return lease;
}

}  // namespace muster::cli
