// The tables behind environment_names.h.
//
// What mpirun 4.1 reads was looked up in its components: the allocators (Slurm, PBS, LSF, Grid
// Engine, LoadLeveler), the launchers, and the detection of a surrounding Flux, jsrun or ALPS job.
#include "launcher/plan/environment_names.h"

#include <algorithm>
#include <span>

namespace muster::plan {
namespace {

// A name that ends in '_' stands for all that begin with it.
bool is_listed(std::string_view name, std::span<const std::string_view> list) {
  return std::any_of(list.begin(), list.end(), [&](std::string_view entry) {
    return entry.back() == '_' ? name.starts_with(entry) : name == entry;
  });
}

constexpr std::string_view kIdentity[] = {
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "NODE_RANK",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "PET_NODE_RANK",
    "OMPI_COMM_WORLD_",
    "OMPI_UNIVERSE_SIZE",
    "PMIX_RANK",
    "PMIX_NAMESPACE",
    "PMIX_SERVER_",
    "PMI_RANK",
    "PMI_SIZE",
    "MUSTER_RUN_ID",
    "MUSTER_NODE_SOCKET",
    "MUSTER_GPU",
    "MUSTER_GPU_UUID",
    "AZUREML_CR_NODE_RANK",
    "AZUREML_PROCESS_NAME",
    "AZ_BATCHAI_TASK_INDEX",
};

constexpr std::string_view kDroppedFromRanks[] = {
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_SIZE",
    "LOCAL_WORLD_SIZE",
    "NODE_RANK",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_NAME",
    "ROLE_WORLD_SIZE",
    "CROSS_RANK",
    "CROSS_SIZE",
    "TORCHELASTIC_",
    "PET_NNODES",
    "PET_NODE_RANK",
    "PET_NPROC_PER_NODE",
    "PET_MASTER_ADDR",
    "PET_MASTER_PORT",
    "PET_RDZV_",
    "PET_STANDALONE",
    "OMPI_",
    "ORTE_",
    "PMIX_",
    "PMI_",
    "PRTE_",
    "PMI2_",
    "MPI_LOCALRANKID",
    "MPI_LOCALNRANKS",
    "MPI_RANKID",
    "MPI_NRANKS",
    "MV2_COMM_WORLD_",
    "HYDI_CONTROL_FD",
    "I_MPI_HYDRA_",
    "AZUREML_CR_NODE_RANK",
    "AZUREML_PROCESS_NAME",
    "AZ_BATCHAI_TASK_INDEX",
    "AZ_BATCHAI_PS_HOSTS",
    "AZ_BATCHAI_WORKER_HOSTS",
    "TF_CONFIG",
};

constexpr std::string_view kDroppedFromMpirun[] = {
    "SLURM_",          "SLURMD_",     "PBS_",   "LSB_",  "LSF_",  "LOADL_",
    "SGE_ROOT",        "PE_HOSTFILE", "JOB_ID", "FLUX_", "JSM_",  "ALPS_",
    "OMPI_",           "ORTE_",       "PMIX_",  "PMI_",  "PMI2_", "PRTE_",
    "MPIEXEC_TIMEOUT",
};

constexpr std::string_view kInstallation[] = {"OPAL_PREFIX", "PMIX_PREFIX", "PRTE_PREFIX"};

// What a person sets for Muster itself; every other MUSTER_ name belongs to the run around us.
constexpr std::string_view kMusterSettings[] = {"MUSTER_RUNS_DIR", "MUSTER_RUNTIME_DIR",
                                                "MUSTER_CACHE_DIR", "MUSTER_IMAGE",
                                                "MUSTER_LEASE_DIR"};

bool is_of_another_run(std::string_view name) {
  return name.starts_with("MUSTER_") && !is_listed(name, kMusterSettings);
}

}  // namespace

bool is_dropped_from_ranks(std::string_view name) {
  return (is_listed(name, kDroppedFromRanks) && !is_installation(name)) || is_of_another_run(name);
}

bool is_dropped_from_mpirun(std::string_view name) {
  return (is_listed(name, kDroppedFromMpirun) && !is_installation(name)) || is_of_another_run(name);
}

bool is_installation(std::string_view name) {
  return is_listed(name, kInstallation);
}

bool reaches_mpirun(const std::map<std::string, std::string>& caller, std::string_view name,
                    const std::string& mpirun) {
  if (is_dropped_from_mpirun(name)) return false;
  if (!is_installation(name) || !caller.contains("OMPI_COMM_WORLD_RANK")) return true;
  const auto found = caller.find(std::string(name));
  return found != caller.end() && mpirun.starts_with(found->second + "/");
}

bool is_identity(std::string_view name) {
  return is_listed(name, kIdentity);
}

bool is_mpi_setting(std::string_view name) {
  return name.starts_with("OMPI_MCA_") || name.starts_with("PMIX_MCA_") ||
         name.starts_with("PRTE_MCA_");
}

bool is_daemon_setting(std::string_view name) {
  if (!is_mpi_setting(name)) return false;
  const std::string_view parameter = name.substr(name.find("_MCA_") + 5);
  return parameter == "plm" || parameter.starts_with("plm_") || parameter == "ras" ||
         parameter.ends_with("_default_hostfile") || parameter.ends_with("_launch_agent");
}

}  // namespace muster::plan
