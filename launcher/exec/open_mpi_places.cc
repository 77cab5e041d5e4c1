#include "launcher/exec/open_mpi_places.h"

#include "base/sandbox.h"

namespace muster::exec {

void add_open_mpi_places(const RuntimeDirectories& runtime,
                         std::map<std::string, std::string>& environment) {
  // A name that the other generation does not know is nothing to it.
  for (const char* name : {"OMPI_MCA_orte_tmpdir_base", "PRTE_MCA_prte_tmpdir_base"}) {
    environment[name] = runtime.mpi_session().string();
  }
  for (const char* name :
       {"OMPI_MCA_btl_vader_backing_directory", "OMPI_MCA_btl_sm_backing_directory"}) {
    environment[name] = runtime.mpi_shared_memory().string();
  }
  // By files, which lie where the backing directory is.  (The default too; but it tries all ways
  // first, and killed while it does leaves /dev/shm/open_mpi.0000 behind.)
  environment.try_emplace("OMPI_MCA_shmem", "mmap");
}

void add_open_mpi_fallbacks(const RuntimeDirectories& runtime,
                            std::map<std::string, std::string>& environment) {
  if (!runtime.mpi_memory_has_room) {
    environment.try_emplace("OMPI_MCA_btl", "self,tcp");
    environment.try_emplace("PMIX_MCA_gds", "hash");  // what ranks know of each other, too
  }
  if (!can_copy_between_processes()) {
    environment.try_emplace("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    environment.try_emplace("OMPI_MCA_smsc", "^cma");  // Open MPI 5
  }
}

}  // namespace muster::exec
