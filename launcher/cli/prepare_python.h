// The Python environment of a run, before its ranks start.
#pragma once

#include "launcher/cli/run_preparation.h"

namespace muster::cli {

Result<> prepare_python(const PreparationContext& context);

}  // namespace muster::cli
