// Open MPI's names without Open MPI, for helper scripts that read nothing else (mpi_identity:
// emulate).  Never by default: an MPI program that is started so is a world of one, and the names
// would tell its script otherwise.
#include "launcher/plan/environment_families.h"

namespace muster::plan {

void add_emulated_mpi_names(const FamilyFacts& facts, const RankPlacement& rank,
                            Variables& variables) {
  const bool wanted = facts.config.mpi_identity.value == config::MpiIdentity::kEmulate;
  if (!wanted || facts.plan.mpirun) return;  // mpirun's are the real ones
  const std::string world_size = std::to_string(facts.plan.world_size);
  add(variables, "OMPI_COMM_WORLD_RANK", std::to_string(rank.rank));
  add(variables, "OMPI_COMM_WORLD_SIZE", world_size);
  add(variables, "OMPI_COMM_WORLD_LOCAL_RANK", std::to_string(rank.local_rank));
  add(variables, "OMPI_COMM_WORLD_LOCAL_SIZE", std::to_string(facts.plan.process_count_per_node));
  // Open MPI's "node rank" counts the processes of a node, as its local rank does.
  add(variables, "OMPI_COMM_WORLD_NODE_RANK", std::to_string(rank.local_rank));
  add(variables, "OMPI_UNIVERSE_SIZE", world_size);
}

}  // namespace muster::plan
