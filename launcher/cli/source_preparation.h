// The ranks' source: copied, or used in place, and what is known of it put on record.
#pragma once

#include "launcher/cli/run_preparation.h"
#include "muster/result.h"

namespace muster::cli {

// Errors: kData; kStopped.
Result<> prepare_source(const PreparationContext& context);

}  // namespace muster::cli
