#include "collector/store/azureml_names.h"

#include <unistd.h>

#include "base/files.h"

namespace muster::store {
namespace fs = std::filesystem;
namespace {

const fs::path kUserLogs = "user_logs";
const fs::path kAzuremlLogs = "azureml-logs";

// Numbers in user_logs are padded to the width of the largest.
std::string padded(int rank, int world_size) {
  std::string number = std::to_string(rank);
  const std::size_t width = std::to_string(world_size - 1).size();
  return std::string(width - number.size(), '0') + number;
}

Result<> link_in(const RunDirectory& run, const fs::path& name, const fs::path& target) {
  const fs::path link = run.root() / name;
  // All of these names lie one folder below the run directory.
  if (::symlink(("../" + target.string()).c_str(), link.c_str()) == 0) return {};
  return Failure(system_error(ErrorCode::kRunDirectory, "linking " + link.string()));
}

}  // namespace

fs::path user_log(int rank, int world_size) {
  if (world_size == 1) return kUserLogs / "std_log.txt";
  return kUserLogs / ("std_log_process_" + padded(rank, world_size) + ".txt");
}

fs::path driver_log(int rank, int world_size) {
  if (world_size == 1) return kAzuremlLogs / "70_driver_log.txt";
  return kAzuremlLogs / ("70_driver_log_" + std::to_string(rank) + ".txt");
}

fs::path process_info(const RunDirectory& run) {
  return run.root() / kAzuremlLogs / "process_info.json";
}

fs::path process_status(const RunDirectory& run) {
  return run.root() / kAzuremlLogs / "process_status.json";
}

Result<> link_azureml_names(const RunDirectory& run, const AzuremlNames& names) {
  MUSTER_TRY(make_directories(run.root() / kUserLogs));
  MUSTER_TRY(make_directories(run.root() / kAzuremlLogs));
  for (int rank = 0; rank < names.world_size; ++rank) {
    const fs::path log = fs::path(RunDirectory::attempt_directory(rank, 0)) /
                         (names.has_driver_logs ? "driver.log" : "stdout.log");
    MUSTER_TRY(link_in(run, user_log(rank, names.world_size), log));
    MUSTER_TRY(link_in(run, driver_log(rank, names.world_size), log));
  }
  if (names.has_mpi_log) MUSTER_TRY(link_in(run, kAzuremlLogs / "70_mpi_log.txt", "mpirun.log"));
  // What a node's launcher did before, around and after the ranks stands in one log here.
  for (const char* phase : {"55_azureml-execution-", "65_job_prep-", "75_job_post-"}) {
    MUSTER_TRY(link_in(run, kAzuremlLogs / (phase + names.node + ".txt"),
                       fs::path("launcher") / (names.node + ".log")));
  }
  return {};
}

}  // namespace muster::store
