// Downloads before the ranks and uploads after them: the programs that do it, what they say on the
// way, and how it ended.
#pragma once

#include <string>
#include <vector>

#include "launcher/cli/run_preparation.h"
#include "launcher/plan/run_outcome.h"

namespace muster::cli {

// Brings every input with mode download into the cache, beside each other, and notes in the plan
// where it is.  The entries are held for as long as `context.held` lives.  Errors: kData with the
// node, the input and its source; kStopped.
Result<> download_inputs(const PreparationContext& context, Preparation& preparation);

struct Uploads {
  std::vector<std::string> said;  // "output model: 3 files, 1.2 GiB are in datastore://…"
  std::vector<Error> failures;    // what is not there, and where its files are
};

// Copies every output with mode upload to its place, until the run has to be over.
Uploads upload_outputs(const PreparationContext& context, const plan::RunOutcome& outcome);

}  // namespace muster::cli
