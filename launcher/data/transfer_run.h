// One transfer from its spec to its outcome: what the transfer program does.
#pragma once

#include "launcher/data/transfer_outcome.h"
#include "launcher/data/transfer_progress.h"
#include "launcher/data/transfer_spec.h"
#include "muster/result.h"

namespace muster::data {

// Finds the version of the source in the cache, or makes it there.
Result<TransferOutcome> download(const TransferSpec& spec, TransferProgress& progress);

// Copies what is in the source to the target, file by file; each appears there whole.  Names that
// exist are left alone and reported unless they may be replaced.
Result<TransferOutcome> upload(const TransferSpec& spec, TransferProgress& progress);

}  // namespace muster::data
