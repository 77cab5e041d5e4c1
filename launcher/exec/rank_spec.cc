#include "launcher/exec/rank_spec.h"

#include <chrono>
#include <map>
#include <string>

#include "base/mounts.h"
#include "launcher/exec/open_mpi_places.h"
#include "launcher/exec/error_file.h"
#include "launcher/exec/placement_looks.h"
#include "launcher/plan/placement_check.h"
#include "launcher/plan/placement_words.h"
#include "launcher/plan/rank_environment.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using plan::RankEnd;

// What outlives its rank may finish for this long, then the agent's sweep ends it.
constexpr auto kDescendantsGrace = 2000ms;

plan::WallTime from_ns(std::int64_t ns) {
  return plan::WallTime(
      std::chrono::duration_cast<plan::WallTime::duration>(std::chrono::nanoseconds(ns)));
}

}  // namespace

protocol::RankSpec rank_spec(const ExecutionRequest& request, int rank) {
  const plan::LaunchPlan& plan = request.plan;
  const plan::RankPlacement& placement = plan.rank(rank);
  protocol::RankSpec spec;
  spec.set_rank(rank);
  spec.set_local_rank(placement.local_rank);
  spec.set_world_size(plan.world_size);
  for (const std::string& word : plan.argv) spec.add_argv(word);
  spec.set_expanded_first(plan.expanded.first);
  spec.set_expanded_count(plan.expanded.count);

  std::map<std::string, std::string> environment = request.rank_environment;
  environment["MUSTER_METRICS"] = request.runtime.metrics_fifo(rank).string();
  environment["TORCHELASTIC_ERROR_FILE"] =
      error_file_path(request.run_directory, rank, request.attempt).string();
  if (!plan.mpirun) {
    // An MPI program that was started without mpirun leaves its files where they are removed.
    add_open_mpi_places(request.runtime, environment);
  }
  plan::add_planned_variables(plan, rank, environment);
  for (const auto& [name, value] : environment) spec.add_environment(name + "=" + value);

  spec.set_keep_mpi_identity(plan.mpirun.has_value());
  if (plan.mpirun) {
    for (const auto& variable : plan.mpirun->environment) spec.add_for_mpirun_only(variable.name);
  }
  for (const plan::DataItem& item : plan.data.items) {
    if (!item.is_mount()) continue;
    protocol::SeenMount& mount = *spec.add_mounts();
    mount.set_name((item.is_output ? "output " : "input ") + item.name);
    mount.set_path(path_in_table(item.mount_point).string());
    mount.set_read_only(item.read_only);
  }
  spec.set_working_directory(plan.working_directory);
  // With a rankfile mpirun has bound the agent when it comes; what it has done is read back.
  spec.set_bind(placement.bound && !(plan.mpirun && plan.mpirun->binds()));
  spec.set_cpuset(placement.cpuset.to_string());
  if (placement.memory_policy != config::MemoryPolicy::kNone) {
    spec.set_memory_nodes(CpuSet::from_vector(placement.memory_nodes).to_string());
    spec.set_memory_policy(plan::to_word(placement.memory_policy));
  }
  for (const ResourceLimit& limit : request.rank_limits) {
    protocol::ResourceLimit& added = *spec.add_limits();
    added.set_resource(limit.resource);
    added.set_soft(limit.value.rlim_cur);
    added.set_hard(limit.value.rlim_max);
  }
  spec.set_descendants_grace_ms(kDescendantsGrace.count());
  spec.set_check_placement_after_ms(request.check_placement_after.count());
  return spec;
}

plan::RankOutcome with_start(plan::RankOutcome outcome, const protocol::TrainingStarted& started,
                             const plan::RankPlacement& planned) {
  outcome.started_at = from_ns(started.started_at_ns());
  outcome.training_pid = started.pid();
  outcome.binding_note = started.binding_note();
  outcome.cpuset = CpuSet::parse(started.cpuset()).value_or(CpuSet());
  if (outcome.binding_note.empty() && planned.bound && outcome.cpuset != planned.cpuset) {
    outcome.binding_note = "planned on CPUs " + planned.cpuset.to_string() + ", the kernel says " +
                           outcome.cpuset.to_string();
  }
  if (started.has_placement()) {
    outcome.placement_seen.push_back(placement_of(started.placement()));
    // What could not be applied is told already.
    if (outcome.binding_note.empty()) {
      outcome.placement_differences =
          plan::differences_of_memory(planned, outcome.placement_seen.back());
    }
  }
  return outcome;
}

plan::RankOutcome with_end(plan::RankOutcome outcome, const protocol::TrainingEnded& ended) {
  using protocol::TrainingEnded;
  outcome.ended_at = from_ns(ended.ended_at_ns());
  outcome.usage = {ended.user_seconds(), ended.system_seconds(), ended.max_rss_bytes()};
  outcome.status = ended.how() == TrainingEnded::SIGNALED ? ExitStatus::signaled(ended.value())
                                                          : ExitStatus::exited(ended.value());
  outcome.status.core_dumped = ended.core_dumped();
  const bool started =
      ended.how() == TrainingEnded::EXITED || ended.how() == TrainingEnded::SIGNALED;
  outcome.end = started ? RankEnd::kExited : RankEnd::kExecFailed;
  outcome.exec_failure = ended.failure();
  if (ended.how() == TrainingEnded::REFUSED) {
    outcome.exec_failure = "its agent refused to start it: " + ended.failure();
  }
  return outcome;
}

}  // namespace muster::exec
