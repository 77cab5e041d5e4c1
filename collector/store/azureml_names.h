// The names under which tools of Azure ML look for a run's logs: links to what is stored anyway.
#pragma once

#include <filesystem>
#include <string>

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

struct AzuremlNames {
  int world_size = 1;
  std::string node;              // whose launcher's log it is
  bool has_mpi_log = false;      // there is an mpirun.log
  bool has_driver_logs = false;  // ranks' driver.log are what they lead to, else stdout.log
};

// Makes user_logs/ (the names since 2021) and azureml-logs/ (those before).  Links are relative, so
// that a run directory may be moved.  Errors: kRunDirectory.
Result<> link_azureml_names(const RunDirectory& run, const AzuremlNames& names);

// "user_logs/std_log_process_03.txt", "azureml-logs/70_driver_log_3.txt"; relative to the run
// directory.
std::filesystem::path user_log(int rank, int world_size);
std::filesystem::path driver_log(int rank, int world_size);

// Which process ran where, and how each fares: files, not links.
std::filesystem::path process_info(const RunDirectory& run);
std::filesystem::path process_status(const RunDirectory& run);

}  // namespace muster::store
