#include "launcher/exec/placement_looks.h"

#include <algorithm>
#include <chrono>
#include <sched.h>

#include "launcher/plan/placement_check.h"
#include "launcher/plan/rank_environment.h"

namespace muster::exec {
namespace {

// Empty where the kernel knows more CPUs than fit here.
CpuSet own_cpus() {
  cpu_set_t mask;
  CpuSet cpus;
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &mask)) cpus.insert(cpu);
  }
  return cpus;
}

// OMP_PLACES has a reason where Muster sets it.
bool sets_omp_places(const plan::LaunchPlan& plan) {
  return std::any_of(plan.reasons.begin(), plan.reasons.end(),
                     [](const plan::Reason& reason) { return reason.subject == "OMP_PLACES"; });
}

}  // namespace

plan::PlacementSeen placement_of(const protocol::PlacementSeen& seen) {
  const auto since_epoch = std::chrono::nanoseconds(seen.seen_at_ns());
  return {plan::WallTime(std::chrono::duration_cast<plan::WallTime::duration>(since_epoch)),
          seen.cpus(), seen.memory_nodes(), seen.memory_policy()};
}

std::vector<std::string> differences_later(const ExecutionRequest& request,
                                           const plan::RankOutcome& rank,
                                           const protocol::PlacementSeen& seen) {
  const plan::RankPlacement& planned = request.plan.rank(rank.rank);
  plan::PlacementLook look{placement_of(seen)};
  look.narrowed_count = seen.narrowed_count();
  for (const protocol::NarrowedThread& thread : seen.narrowed()) {
    look.narrowed.push_back({thread.pid(), thread.tid(), thread.name(),
                             CpuSet::parse(thread.cpus()).value_or(CpuSet())});
  }
  plan::RankProgram program{rank.training_pid, request.plan.argv, request.rank_environment};
  plan::add_planned_variables(request.plan, rank.rank, program.environment);
  program.omp_binding = sets_omp_places(request.plan);
  program.cpus_at_start = rank.cpuset;
  if (planned.node_rank == 0) program.launcher_cpus = own_cpus();

  std::vector<std::string> differences = plan::differences_of_cpus(planned, look, program);
  // What could not be applied at the start is told already.
  if (!rank.binding_note.empty()) return differences;
  std::vector<std::string> of_memory = plan::differences_of_memory(planned, look.seen);
  if (of_memory.empty() && !rank.placement_seen.empty()) {
    of_memory = plan::changes_of_memory(rank.placement_seen.front(), look.seen);
  }
  for (std::string& each : of_memory) differences.push_back(std::move(each));
  return differences;
}

}  // namespace muster::exec
