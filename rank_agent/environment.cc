#include "rank_agent/environment.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "base/text.h"

namespace muster::agent {
namespace {

const std::string kLibraryPath = "LD_LIBRARY_PATH";

// What mpirun adds for a process so that MPI_Init finds its world (Open MPI 4.1 with PMIx 4.2, Open
// MPI 5.0); OPAL_PREFIX where the installation was moved.
bool is_mpi_identity(std::string_view variable) {
  constexpr std::string_view kPrefixes[] = {
      "OMPI_", "PMIX_", "PRTE_", "OPAL_PREFIX=", "HFI_NO_BACKTRACE=", "IPATH_NO_BACKTRACE="};
  return std::any_of(std::begin(kPrefixes), std::end(kPrefixes),
                     [&](std::string_view prefix) { return variable.starts_with(prefix); });
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// Open MPI 5's mpirun puts its own libraries first, so that a program finds the MPI which started
// it and not another one of the system.
void add_library_path_of_mpirun(const std::vector<std::string>& own,
                                std::vector<std::string>& environment) {
  const std::string given = value_of(own, kLibraryPath);
  const std::string wanted = value_of(environment, kLibraryPath);
  const std::vector<std::string> there = split(wanted, ':');
  std::vector<std::string> path;
  for (const std::string& directory : split(given, ':')) {
    const bool known = std::find(there.begin(), there.end(), directory) != there.end();
    if (!directory.empty() && !known) path.push_back(directory);
  }
  if (path.empty()) return;
  if (!wanted.empty()) path.push_back(wanted);
  std::erase_if(environment,
                [](const std::string& variable) { return name_of(variable) == kLibraryPath; });
  environment.push_back(kLibraryPath + ("=" + join(path, ":")));
}

}  // namespace

std::vector<std::string> training_environment(const protocol::RankSpec& spec,
                                              const std::vector<std::string>& own) {
  std::vector<std::string> environment(spec.environment().begin(), spec.environment().end());
  if (!spec.keep_mpi_identity()) return environment;

  std::set<std::string_view> names;
  for (const std::string& variable : spec.environment()) names.insert(name_of(variable));
  names.insert(spec.for_mpirun_only().begin(), spec.for_mpirun_only().end());
  for (const std::string& variable : own) {
    if (is_mpi_identity(variable) && !names.contains(name_of(variable))) {
      environment.push_back(variable);
    }
  }
  add_library_path_of_mpirun(own, environment);
  return environment;
}

std::string value_of(const std::vector<std::string>& environment, const std::string& name) {
  for (const std::string& variable : environment) {
    if (variable.starts_with(name + "=")) return variable.substr(name.size() + 1);
  }
  return "";
}

}  // namespace muster::agent
