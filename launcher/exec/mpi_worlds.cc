#include "launcher/exec/mpi_worlds.h"

#include <map>

#include "base/cpu_set.h"
#include "base/text.h"

namespace muster::exec {
namespace {

// Open MPI 4 and 5 are libmpi.so.40; MPICH and Intel MPI are libmpi.so.12, Debian's MPICH
// libmpich.so.12.
bool is_open_mpi(const std::string& library) {
  return library.starts_with("libmpi.so.40");
}

}  // namespace

std::vector<std::string> find_separate_worlds(const plan::LaunchPlan& plan,
                                              const std::vector<plan::RankOutcome>& ranks) {
  if (plan.world_size < 2) return {};
  const bool by_mpirun = plan.backend == config::Backend::kMpi;
  std::map<std::string, CpuSet> ranks_by_library;
  for (const plan::RankOutcome& rank : ranks) {
    if (rank.mpi_library.empty() || (by_mpirun && is_open_mpi(rank.mpi_library))) continue;
    ranks_by_library[rank.mpi_library].insert(rank.rank);
  }
  std::vector<std::string> warnings;
  for (const auto& [library, which] : ranks_by_library) {
    const std::string who = (which.count() == 1 ? "rank " : "ranks ") + which.to_string();
    if (by_mpirun) {
      warnings.push_back(who + " use " + library + ", which is not the MPI of " +
                         (plan.mpirun ? plan.mpirun->executable : "mpirun") +
                         " (Open MPI): each of them is an MPI world of one rank; use the mpi4py or "
                         "the build that belongs to this mpirun");
    } else {
      warnings.push_back(who + " use " + library +
                         " but were started without mpirun: each of them is an MPI world of one "
                         "rank; use distributed_backend: mpi (--backend mpi) for MPI programs");
    }
  }
  return warnings;
}

}  // namespace muster::exec
