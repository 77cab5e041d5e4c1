#include "launcher/exec/placement_looks.h"

#include <chrono>

#include "launcher/plan/placement_check.h"
#include "launcher/plan/rank_environment.h"

namespace muster::exec {

plan::PlacementSeen placement_of(const protocol::PlacementSeen& seen) {
  const auto since_epoch = std::chrono::nanoseconds(seen.seen_at_ns());
  return {plan::WallTime(std::chrono::duration_cast<plan::WallTime::duration>(since_epoch)),
          seen.cpus(), seen.memory_nodes(), seen.memory_policy()};
}

std::vector<std::string> differences_later(const ExecutionRequest& request,
                                           const plan::RankOutcome& rank,
                                           const protocol::PlacementSeen& seen) {
  const plan::RankPlacement& planned = request.plan.ranks[static_cast<std::size_t>(rank.rank)];
  plan::PlacementLook look{placement_of(seen)};
  look.narrowed_count = seen.narrowed_count();
  for (const protocol::NarrowedThread& thread : seen.narrowed()) {
    look.narrowed.push_back({thread.pid(), thread.tid(), thread.name(),
                             CpuSet::parse(thread.cpus()).value_or(CpuSet())});
  }
  plan::RankProgram program{rank.training_pid, request.plan.argv, request.rank_environment};
  plan::add_planned_variables(request.plan, rank.rank, program.environment);

  std::vector<std::string> differences = plan::differences_of_cpus(planned, look, program);
  // What could not be applied at the start is told already.
  if (!rank.binding_note.empty()) return differences;
  for (std::string& each : plan::differences_of_memory(planned, look.seen)) {
    differences.push_back(std::move(each));
  }
  return differences;
}

}  // namespace muster::exec
