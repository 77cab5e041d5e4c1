// Whether the mpi4py that a Python environment brings speaks the MPI that starts the ranks.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/preparation.h"
#include "launcher/plan/python_plan.h"
#include "muster/result.h"

namespace muster::python_env {

// A warning; "" when it is fine, or when the environment has no mpi4py of its own.  Asked once and
// remembered beside the environment.
Result<std::string> check_mpi4py(Preparation& preparation, const plan::PythonPlan& plan,
                                 const std::map<std::string, std::string>& caller_environment,
                                 const std::string& mpi_version);

// From what MPI_Get_library_version says, or from what the import complains of.
std::string mpi4py_warning(const std::string& library, const std::string& complaint,
                           const std::string& mpi_version);

}  // namespace muster::python_env
