// The program that makes conda environments.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "launcher/plan/python_plan.h"

namespace muster::python_env {

// micromamba before mamba before conda: what MAMBA_EXE or CONDA_EXE names, else what is on PATH.
std::optional<plan::CondaProgram> find_conda(const std::map<std::string, std::string>& environment);

}  // namespace muster::python_env
