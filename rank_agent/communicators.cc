#include "rank_agent/communicators.h"

#include "rank_agent/environment.h"

namespace muster::agent {

std::string find_contradiction(const protocol::RankSpec& spec,
                               const std::vector<std::string>& environment) {
  struct Identity {
    const char* name;
    int planned;
    bool required;
  };
  const bool mpi = spec.keep_mpi_identity();
  const Identity identities[] = {
      {"RANK", spec.rank(), true},
      {"WORLD_SIZE", spec.world_size(), true},
      {"LOCAL_RANK", spec.local_rank(), true},
      {"OMPI_COMM_WORLD_RANK", spec.rank(), mpi},
      {"OMPI_COMM_WORLD_SIZE", spec.world_size(), mpi},
      {"OMPI_COMM_WORLD_LOCAL_RANK", spec.local_rank(), mpi},
      {"PMIX_RANK", spec.rank(), false},
  };
  for (const Identity& identity : identities) {
    const std::string value = value_of(environment, identity.name);
    if (value.empty() && !identity.required) continue;
    if (value == std::to_string(identity.planned)) continue;
    return std::string(identity.name) + " is " + (value.empty() ? "not set" : value) +
           ", the plan says " + std::to_string(identity.planned);
  }
  // Scripts divide by either of them to find their node.
  const std::string of_mpirun = value_of(environment, "OMPI_COMM_WORLD_LOCAL_SIZE");
  const std::string planned = value_of(environment, "LOCAL_WORLD_SIZE");
  if (!of_mpirun.empty() && !planned.empty() && of_mpirun != planned) {
    return "OMPI_COMM_WORLD_LOCAL_SIZE is " + of_mpirun + ", the plan says " + planned;
  }
  return "";
}

}  // namespace muster::agent
