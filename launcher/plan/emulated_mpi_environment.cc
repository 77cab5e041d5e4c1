// The names of other MPIs' launchers, for helper scripts that read nothing else (mpi_identity:
// emulate).  Never by default: an MPI program that is started without its mpirun is a world of one,
// and the names would tell its script otherwise.
//
// Under mpirun the names of Open MPI are the real ones, and only Intel MPI's are added; what they
// are not accompanied by (PMI_FD, PMI_PORT) keeps a library of that family from taking them up.
#include "launcher/plan/environment_families.h"

namespace muster::plan {
namespace {

void add_open_mpis(const LaunchPlan& plan, const RankPlacement& rank, Variables& variables) {
  const std::string world_size = std::to_string(plan.world_size);
  add(variables, "OMPI_COMM_WORLD_RANK", std::to_string(rank.rank));
  add(variables, "OMPI_COMM_WORLD_SIZE", world_size);
  add(variables, "OMPI_COMM_WORLD_LOCAL_RANK", std::to_string(rank.local_rank));
  add(variables, "OMPI_COMM_WORLD_LOCAL_SIZE",
      std::to_string(plan.node(rank.node_rank).rank_count));
  // Open MPI's "node rank" counts the processes of a node, as its local rank does.
  add(variables, "OMPI_COMM_WORLD_NODE_RANK", std::to_string(rank.local_rank));
  add(variables, "OMPI_UNIVERSE_SIZE", world_size);
}

void add_intel_mpis(const LaunchPlan& plan, const RankPlacement& rank, Variables& variables) {
  add(variables, "PMI_RANK", std::to_string(rank.rank));
  add(variables, "PMI_SIZE", std::to_string(plan.world_size));
  add(variables, "MPI_LOCALRANKID", std::to_string(rank.local_rank));
  add(variables, "MPI_LOCALNRANKS", std::to_string(plan.node(rank.node_rank).rank_count));
}

}  // namespace

void add_emulated_mpi_names(const FamilyFacts& facts, const RankPlacement& rank,
                            Variables& variables) {
  if (facts.config.mpi_identity.value != config::MpiIdentity::kEmulate) return;
  if (facts.plan.backend != config::Backend::kMpi) add_open_mpis(facts.plan, rank, variables);
  add_intel_mpis(facts.plan, rank, variables);
}

}  // namespace muster::plan
